// A program without libc, for 64-bit x86 or for 32-bit: prints its pid, and sleeps. Nothing in it returns from
// a signal handler. It ends with its parent.

static long call(long number, long a, long b, long c) {
  long result;
#ifdef __x86_64__
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
#else
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
#endif
  return result;
}

#ifdef __x86_64__
enum { WRITE = 1, GETPID = 39, PRCTL = 157, PAUSE = 34 };
#else
enum { WRITE = 4, GETPID = 20, PRCTL = 172, PAUSE = 29 };
#endif
enum { PR_SET_PDEATHSIG = 1, SIGKILL = 9 };

void _start(void) {
  char digits[12];
  char *at = digits + sizeof digits;
  *--at = '\n';
  for (long pid = call(GETPID, 0, 0, 0); pid > 0; pid /= 10) *--at = '0' + pid % 10;
  call(PRCTL, PR_SET_PDEATHSIG, SIGKILL, 0);
  call(WRITE, 1, (long)at, digits + sizeof digits - at);
  for (;;) call(PAUSE, 0, 0, 0);
}
