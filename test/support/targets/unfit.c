// Processes that must not be attached to, or not in the usual way: unfit MODE. Prints the pid that is meant once
// it is so. Ends with its parent, and children with it.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/rseq.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

static void ready(pid_t pid) {
  printf("%d\n", pid);
  fflush(stdout);
}

static void spin(void) {
  for (volatile unsigned long n = 0;; n++) {
  }
}

// ---- seccomp ----

// All calls are allowed, but for userfaultfd, for which the filter returns `verdict`.
static void filter_userfaultfd(uint32_t verdict) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, verdict),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) exit(3);
  ready(getpid());
  for (;;) pause();
}

static void seccomp_allow(void) { filter_userfaultfd(SECCOMP_RET_ALLOW); }
static void seccomp_errno(void) { filter_userfaultfd(SECCOMP_RET_ERRNO | EPERM); }

static void seccomp_strict(void) {
  char line[16];
  int length = snprintf(line, sizeof line, "%d\n", getpid());
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) < 0) exit(3);
  if (write(1, line, length) == length) spin(); // no more than write is allowed
}

// ---- states ----

// Fit.
static void waits(void) {
  ready(getpid());
  for (;;) pause();
}

static void zombie(void) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  siginfo_t info;
  waitid(P_PID, child, &info, WEXITED | WNOWAIT);
  ready(child);
  for (;;) pause();
}

static void in_vfork(void) {
  pid_t self = getpid();
  if (vfork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    ready(self);
    for (;;) pause();
  }
}

// Waits until the first thread has ended: then it is a zombie.
static void outlive_first_thread(void) {
  for (char state = 0; state != 'Z'; usleep(1000)) {
    FILE *stat = fopen("/proc/self/stat", "r");
    if (stat == NULL || fscanf(stat, "%*d %*s %c", &state) != 1) exit(3);
    fclose(stat);
  }
}

// The first thread is gone; the other has descriptors of its own.
static void *lives_on(void *argument) {
  (void)argument;
  unshare(CLONE_FILES);
  outlive_first_thread();
  ready(getpid());
  for (;;) pause();
  return NULL;
}

static void leader_gone(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, lives_on, NULL);
  pthread_exit(NULL);
}

// ---- stacks ----

static char other_stack[65536];
static ucontext_t main_context, context;

static void on_other_stack(void) {
  ready(getpid());
  spin();
}

static void own_stack(void) {
  getcontext(&context);
  context.uc_stack.ss_sp = other_stack;
  context.uc_stack.ss_size = sizeof other_stack;
  makecontext(&context, on_other_stack, 0);
  swapcontext(&main_context, &context);
}

static void on_signal(int number) {
  (void)number;
  ready(getpid());
  spin();
}

// The handler runs on a stack that lies in main's.
static void alternate_stack(void) {
  char frame[65536];
  stack_t stack = {.ss_sp = frame, .ss_size = sizeof frame};
  sigaltstack(&stack, NULL);
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
  sigaction(SIGUSR1, &action, NULL);
  raise(SIGUSR1);
}

static void *deep(void *argument) {
  (void)argument;
  outlive_first_thread();
  pthread_attr_t attributes;
  void *lowest;
  size_t size;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &lowest, &size);
  char *here = __builtin_frame_address(0);
  volatile char *below = __builtin_alloca(here - (char *)lowest - 6000);
  below[0] = 1;
  ready(getpid());
  for (;;) pause();
  return NULL;
}

// The first thread is gone, and the other has hardly any stack left.
static void stack_end(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, deep, NULL);
  pthread_exit(NULL);
}

// ---- restartable sequences ----

extern const ptrdiff_t __rseq_offset __attribute__((weak));

// Spins inside one; when the kernel takes it out of there, it goes in again.
static void restartable(void) {
  if (&__rseq_offset == NULL) exit(4);
  struct rseq *own = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
  ready(getpid());
  for (;;) {
    asm volatile goto(
        ".pushsection __rseq_section, \"aw\"\n"
        ".balign 32\n"
        "100: .long 0, 0\n"
        ".quad 1f, 2f - 1f, 4f\n"
        ".popsection\n"
        ".pushsection __rseq_abort, \"ax\"\n"
        ".byte 0x0f, 0xb9, 0x3d\n"
        ".long 0x53053053\n"
        "4: jmp %l[again]\n"
        ".popsection\n"
        "leaq 100b(%%rip), %%rax\n"
        "movq %%rax, %0\n"
        "1: movl $1000000000, %%ecx\n"
        "3: decl %%ecx\n"
        "jnz 3b\n"
        "2:\n"
        :
        : "m"(own->rseq_cs)
        : "rax", "rcx", "memory", "cc"
        : again);
  again:;
  }
}

// ---- system calls handled by the program ----

static void syscall_dispatch(void) {
  static volatile char selector = 0; // SYSCALL_DISPATCH_FILTER_ALLOW
  if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector) < 0) exit(4);
  ready(getpid());
  for (;;) pause();
}

static const struct {
  const char *name;
  void (*run)(void);
} MODES[] = {
    {"seccomp-allow", seccomp_allow},
    {"seccomp-errno", seccomp_errno},
    {"seccomp-strict", seccomp_strict},
    {"waits", waits},
    {"zombie", zombie},
    {"vfork", in_vfork},
    {"leader-gone", leader_gone},
    {"own-stack", own_stack},
    {"stack-end", stack_end},
    {"alternate-stack", alternate_stack},
    {"restartable", restartable},
    {"syscall-dispatch", syscall_dispatch},
};

int main(int count, char **arguments) {
  if (count != 2) return 2;
  pid_t parent = getppid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) return 2;
  for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++)
    if (strcmp(MODES[i].name, arguments[1]) == 0) MODES[i].run();
  return 2;
}
