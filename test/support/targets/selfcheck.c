// A process that checks itself all the time: selfcheck MODE FILE. FILE is mapped shared and tells how it is:
// word 0, rounds done; word 1, how often a call returned EINTR where the mode allows it. Anything wrong is told
// on stderr, and ends it with exit code 1. It ends with its parent.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile uint64_t *shared;
static const char *mode;

static void fail(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "%s: ", mode);
  vfprintf(stderr, format, args);
  fprintf(stderr, "\n");
  _exit(1);
}

#define PAGE_WORDS 512
#define RECORD_PAGES 64
static uint64_t *record;

// Each round counts up a page of shared memory, one after the other.
static void round_done(void) {
  static uint64_t rounds;
  uint64_t *page = record + rounds % RECORD_PAGES * PAGE_WORDS, before = rounds / RECORD_PAGES;
  if (*page != before) fail("shared memory has %lu, not %lu", *page, before);
  *page = before + 1;
  __atomic_store_n(&shared[0], ++rounds, __ATOMIC_RELAXED);
}

static void sleep_us(long us) {
  struct timespec t = {us / 1000000, us % 1000000 * 1000};
  while (nanosleep(&t, &t) < 0 && errno == EINTR) {
  }
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}

// A child that calls `work` until its parent is gone.
static pid_t start_helper(void (*work)(void)) {
  pid_t parent = getpid(), child = fork();
  if (child < 0) fail("fork: %s", strerror(errno));
  if (child > 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  for (;;) work();
}

// ---- blocked in a system call ----

static int feed[2];

static void feed_a_byte(void) {
  static unsigned char next;
  sleep_us(500);
  if (write(feed[1], &next, 1) != 1) _exit(0);
  next++;
}

static void take_a_byte(void) {
  static unsigned char next;
  unsigned char got;
  ssize_t n = read(feed[0], &got, 1);
  if (n != 1) fail("read: %zd, %s", n, strerror(errno));
  if (got != next) fail("read %d, not %d", got, next);
  next++;
  round_done();
}

static void start_feeding(void) {
  if (pipe(feed) < 0) fail("pipe");
  start_helper(feed_a_byte);
}

static void run_read(void) {
  start_feeding();
  for (;;) take_a_byte();
}

static void run_poll(void) {
  start_feeding();
  for (;;) {
    struct pollfd p = {.fd = feed[0], .events = POLLIN};
    int n = poll(&p, 1, -1);
    if (n != 1) fail("poll: %d, %s", n, strerror(errno));
    take_a_byte();
  }
}

static void run_epoll(void) {
  start_feeding();
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN};
  epoll_ctl(epoll, EPOLL_CTL_ADD, feed[0], &event);
  for (;;) {
    int n = epoll_wait(epoll, &event, 1, -1);
    if (n == 1)
      take_a_byte();
    else if (n < 0 && errno == EINTR)
      __atomic_fetch_add(&shared[1], 1, __ATOMIC_RELAXED);
    else
      fail("epoll_wait: %d, %s", n, strerror(errno));
  }
}

static uint32_t *word;

static void change_word(void) {
  sleep_us(500);
  __atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void futex_rounds(int operation, const struct timespec *until) {
  word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  start_helper(change_word);
  for (uint32_t seen = 0;; round_done()) {
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == seen) {
      long result = syscall(SYS_futex, word, operation, seen, until, NULL, FUTEX_BITSET_MATCH_ANY);
      if (result < 0 && errno != EAGAIN) fail("futex: %s", strerror(errno));
    }
    uint32_t next = __atomic_load_n(word, __ATOMIC_SEQ_CST);
    if (next - seen > 1000000) fail("futex word went from %u to %u", seen, next);
    seen = next;
  }
}

static void run_futex(void) { futex_rounds(FUTEX_WAIT, NULL); }

static void run_futex_until(void) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += 100000;
  futex_rounds(FUTEX_WAIT_BITSET, &until);
}

// ---- sleeping ----

#define NAP_NS 5000000ll

static void run_nanosleep(void) {
  for (;; round_done()) {
    struct timespec nap = {0, NAP_NS}, rest = {0, 0};
    uint64_t before = now_ns();
    if (nanosleep(&nap, &rest) == 0) {
      if (now_ns() - before < NAP_NS) fail("woke too early");
    } else if (errno == EINTR) {
      __atomic_fetch_add(&shared[1], 1, __ATOMIC_RELAXED);
      if (rest.tv_sec != 0 || rest.tv_nsec > NAP_NS) fail("rest of %lld ns", (long long)rest.tv_nsec);
    } else {
      fail("nanosleep: %s", strerror(errno));
    }
  }
}

static void run_clock_nanosleep(void) {
  for (uint64_t until = now_ns();; round_done()) {
    until += NAP_NS;
    struct timespec t = {until / 1000000000, until % 1000000000};
    int error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
    if (error != 0) fail("clock_nanosleep: %s", strerror(error));
    if (now_ns() < until) fail("woke too early");
  }
}

// ---- computing ----

typedef double sse_t __attribute__((vector_size(16)));
typedef double avx_t __attribute__((vector_size(32)));
typedef double avx512_t __attribute__((vector_size(64)));

// Eight sums in registers, of exact small numbers, so that each is known.
#define SUMS(NAME, TYPE, TARGET)                                                                          \
  __attribute__((target(TARGET), noinline)) static void NAME(void) {                                      \
    TYPE sum[8], step[8];                                                                                 \
    for (int i = 0; i < 8; i++) sum[i] = step[i] = (TYPE){} + (double)(i + 1);                            \
    TYPE s0 = sum[0], s1 = sum[1], s2 = sum[2], s3 = sum[3];                                              \
    TYPE s4 = sum[4], s5 = sum[5], s6 = sum[6], s7 = sum[7];                                              \
    for (int n = 0; n < 20000; n++) {                                                                     \
      s0 += step[0], s1 += step[1], s2 += step[2], s3 += step[3];                                         \
      s4 += step[4], s5 += step[5], s6 += step[6], s7 += step[7];                                         \
      asm volatile("" : "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3), "+x"(s4), "+x"(s5), "+x"(s6), "+x"(s7)); \
    }                                                                                                     \
    TYPE all[8] = {s0, s1, s2, s3, s4, s5, s6, s7};                                                       \
    for (int i = 0; i < 8; i++)                                                                           \
      for (unsigned lane = 0; lane < sizeof(TYPE) / 8; lane++)                                            \
        if (all[i][lane] != 20001.0 * (i + 1)) fail("sum %d, lane %u: %f", i, lane, all[i][lane]);       \
  }

SUMS(sse_sums, sse_t, "sse2")
SUMS(avx_sums, avx_t, "avx2")
SUMS(avx512_sums, avx512_t, "avx512f")

static void x87_sums(void) {
  long double sum = 0.5L, step = 0.25L;
  for (int n = 0; n < 20000; n++) {
    sum += step;
    asm volatile("" : "+t"(sum));
  }
  if (sum != 5000.5L) fail("x87: %Lf", sum);
}

// All general registers that code may use, and the flags.
static void integer_sums(void) {
  uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, i = 9;
  for (int n = 0; n < 20000; n++) {
    asm volatile("stc; adc $0, %0; adc $1, %1; adc $2, %2; add %3, %0; sub %3, %0"
                 : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f), "+r"(g), "+r"(h), "+r"(i));
  }
  if (a != 20001 || b != 20002 || c != 40003 || d != 4 || e != 5 || f != 6 || g != 7 || h != 8 || i != 9)
    fail("registers: %lu %lu %lu %lu %lu %lu %lu %lu %lu", a, b, c, d, e, f, g, h, i);
}

static void compute(void) {
  sse_sums();
  if (__builtin_cpu_supports("avx2")) avx_sums();
  if (__builtin_cpu_supports("avx512f")) avx512_sums();
  x87_sums();
  integer_sums();
  if (fegetround() != FE_TOWARDZERO) fail("rounding mode %d", fegetround());
}

static void run_compute(void) {
  fesetround(FE_TOWARDZERO);
  for (;; round_done()) compute();
}

static void run_sse(void) {
  for (;; round_done()) {
    sse_sums();
    integer_sums();
  }
}

// ---- memory and stack ----

static void memory_rounds(int sharing) {
  const size_t words = 4 << 20;
  uint64_t *data = mmap(NULL, words * 8, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS, -1, 0);
  for (size_t i = 0; i < words; i++) data[i] = i * 0x9e3779b97f4a7c15ull;
  for (uint64_t n = 1;; n++) {
    for (size_t i = 0; i < words; i++) {
      if (data[i] != i * 0x9e3779b97f4a7c15ull + (n - 1)) fail("word %zu is wrong in round %lu", i, n);
      data[i]++;
      if ((i & 0xffff) == 0) round_done();
    }
  }
}

static void run_memory(void) { memory_rounds(MAP_PRIVATE); }
static void run_shared_memory(void) { memory_rounds(MAP_SHARED); }

// The kernel writes, not the program: through a pipe into shared memory.
static void run_kernel_writes(void) {
  enum { BYTES = 32768 };
  static unsigned char data[BYTES];
  unsigned char *buffer = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (pipe(feed) < 0) fail("pipe");
  for (unsigned n = 0;; n++, round_done()) {
    for (int i = 0; i < BYTES; i++) data[i] = i * 13 + n;
    if (write(feed[1], data, BYTES) != BYTES) fail("write: %s", strerror(errno));
    ssize_t got = read(feed[0], buffer, BYTES);
    if (got != BYTES) fail("read: %zd, %s", got, strerror(errno));
    if (memcmp(data, buffer, BYTES) != 0) fail("wrong data were read");
  }
}

static uint64_t recurse(unsigned depth, uint64_t value) {
  volatile uint64_t local[32];
  for (int i = 0; i < 32; i++) local[i] = value + i;
  uint64_t below = depth == 0 ? 0 : recurse(depth - 1, value * 31 + 1);
  for (int i = 0; i < 32; i++)
    if (local[i] != value + i) fail("stack changed at depth %u", depth);
  return below + local[depth % 32];
}

static void run_stack(void) {
  for (unsigned n = 0;; n++, round_done()) recurse(n % 200, n);
}

// Coroutines on small stacks that lie side by side: what is below one is its neighbour's.
#define COROUTINES 8
#define COROUTINE_BYTES 8192
static ucontext_t main_context, contexts[COROUTINES];
static unsigned char coroutine_stacks[COROUTINES][COROUTINE_BYTES] __attribute__((aligned(4096)));

static void coroutine(int self) {
  volatile uint64_t local[128];
  for (uint64_t n = 0;; n++) {
    for (int i = 0; i < 128; i++) local[i] = n * 1000 + self * 100 + i;
    integer_sums();
    swapcontext(&contexts[self], &main_context);
    for (int i = 0; i < 128; i++)
      if (local[i] != n * 1000 + self * 100 + i) fail("coroutine %d: its stack changed", self);
  }
}

static void run_coroutines(void) {
  for (int i = 0; i < COROUTINES; i++) {
    getcontext(&contexts[i]);
    contexts[i].uc_stack.ss_sp = coroutine_stacks[i];
    contexts[i].uc_stack.ss_size = COROUTINE_BYTES;
    makecontext(&contexts[i], (void (*)(void))coroutine, 1, i);
  }
  for (;; round_done()) {
    for (int i = 0; i < COROUTINES; i++) swapcontext(&main_context, &contexts[i]);
    integer_sums();
    sleep_us(200);
  }
}

// ---- threads ----

#define THREADS 32
static volatile uint64_t thread_rounds[THREADS][8];

static void *thread_of(void *argument) {
  uint64_t number = (uintptr_t)argument;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t never = PTHREAD_COND_INITIALIZER;
  for (;; thread_rounds[number][0]++) {
    switch (number % 4) {
    case 0:
      sse_sums();
      integer_sums();
      sleep_us(500);
      break;
    case 1:
      sleep_us(1000);
      break;
    case 2: {
      struct timespec until;
      clock_gettime(CLOCK_REALTIME, &until);
      until.tv_nsec += 1000000;
      if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
      pthread_mutex_lock(&mutex);
      int error = pthread_cond_timedwait(&never, &mutex, &until);
      if (error != ETIMEDOUT && error != 0) fail("pthread_cond_timedwait: %s", strerror(error));
      pthread_mutex_unlock(&mutex);
      break;
    }
    default:
      recurse(50, number);
      sleep_us(700);
    }
  }
  return NULL;
}

static void run_threads(void) {
  pthread_t thread;
  for (uintptr_t i = 0; i < THREADS; i++) pthread_create(&thread, NULL, thread_of, (void *)i);
  // A round is one of every thread.
  for (uint64_t done = 0;;) {
    sleep_us(1000);
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < THREADS; i++)
      if (thread_rounds[i][0] < least) least = thread_rounds[i][0];
    if (least > done) done = least, round_done();
  }
}

// ---- signals ----

static pid_t receiver;
static volatile uint32_t signals_seen;

// Queued signals keep their number and order.
static void send_a_signal(void) {
  static int next;
  sleep_us(200);
  if (sigqueue(receiver, SIGRTMIN, (union sigval){.sival_int = next}) == 0) next++;
}

static void on_signal(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  uint32_t came = info->si_value.sival_int;
  if (came != signals_seen) fail("signal %u came, not %u", came, signals_seen);
  signals_seen++;
  volatile uint64_t local[64];
  for (int i = 0; i < 64; i++) local[i] = i;
  sse_sums();
  for (int i = 0; i < 64; i++)
    if (local[i] != (uint64_t)i) fail("the handler's stack changed");
}

static void start_signals(int flags) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags};
  sigaction(SIGRTMIN, &action, NULL);
  receiver = getpid();
  start_helper(send_a_signal);
}

static void signal_rounds(void) {
  fesetround(FE_TOWARDZERO);
  for (uint32_t seen = 0;;) {
    compute();
    if (signals_seen != seen) seen = signals_seen, round_done();
  }
}

static void run_signals(void) {
  start_signals(SA_RESTART);
  signal_rounds();
}

// The alternate stack lies in the middle of main's own: what is below it is in use.
static void run_signals_altstack(void) {
  struct {
    volatile unsigned char below[8192];
    unsigned char stack[16384];
    volatile unsigned char above[64];
  } frame;
  for (size_t i = 0; i < sizeof frame.below; i++) frame.below[i] = i * 7;
  stack_t stack = {.ss_sp = frame.stack, .ss_size = sizeof frame.stack};
  sigaltstack(&stack, NULL);
  start_signals(SA_RESTART | SA_ONSTACK);
  for (uint32_t seen = 0;;) {
    sse_sums();
    for (size_t i = 0; i < sizeof frame.below; i++)
      if (frame.below[i] != (unsigned char)(i * 7)) fail("what is below the alternate stack changed");
    stack_t now;
    sigaltstack(NULL, &now);
    if (now.ss_sp != frame.stack || now.ss_size != sizeof frame.stack || now.ss_flags != 0)
      fail("another alternate stack is set");
    if (signals_seen != seen) seen = signals_seen, round_done();
  }
}

static void run_signals_read(void) {
  start_signals(SA_RESTART);
  start_feeding();
  for (;;) take_a_byte();
}

static void run_sigsuspend(void) {
  sigset_t blocked, none;
  sigemptyset(&none);
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &blocked, NULL);
  start_signals(0);
  for (uint32_t seen = 0;; seen = signals_seen, round_done()) {
    if (sigsuspend(&none) != -1 || errno != EINTR) fail("sigsuspend: %s", strerror(errno));
    if (signals_seen == seen) fail("sigsuspend returned without a signal");
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    if (!sigismember(&now, SIGRTMIN)) fail("the signal mask changed");
  }
}

// ---- forking ----

static void run_fork(void) {
  for (int n = 0;; n++, round_done()) {
    int answer[2], status;
    if (pipe(answer) < 0) fail("pipe: %s", strerror(errno));
    pid_t child = fork();
    if (child < 0) fail("fork: %s", strerror(errno));
    if (child == 0) {
      integer_sums();
      if (write(answer[1], &n, sizeof n) != sizeof n) _exit(1);
      _exit(n % 100);
    }
    close(answer[1]);
    int got = -1;
    if (read(answer[0], &got, sizeof got) != sizeof got) fail("read: %s", strerror(errno));
    if (got != n) fail("the child wrote %d, not %d", got, n);
    close(answer[0]);
    if (waitpid(child, &status, 0) != child) fail("waitpid: %s", strerror(errno));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != n % 100) fail("the child's status is 0x%x", status);
  }
}

static const struct {
  const char *name;
  void (*run)(void);
} MODES[] = {
    {"read", run_read},
    {"poll", run_poll},
    {"epoll", run_epoll},
    {"futex", run_futex},
    {"futex-until", run_futex_until},
    {"nanosleep", run_nanosleep},
    {"clock-nanosleep", run_clock_nanosleep},
    {"sse", run_sse},
    {"compute", run_compute},
    {"memory", run_memory},
    {"shared-memory", run_shared_memory},
    {"kernel-writes", run_kernel_writes},
    {"stack", run_stack},
    {"coroutines", run_coroutines},
    {"threads", run_threads},
    {"signals", run_signals},
    {"signals-altstack", run_signals_altstack},
    {"signals-read", run_signals_read},
    {"sigsuspend", run_sigsuspend},
    {"fork", run_fork},
};

int main(int count, char **arguments) {
  if (count != 3) return 2;
  mode = arguments[1];
  pid_t parent = getppid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) return 2;
  int fd = open(arguments[2], O_RDWR);
  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared == MAP_FAILED) fail("%s: %s", arguments[2], strerror(errno));
  close(fd);
  int rights = PROT_READ | PROT_WRITE;
  record = mmap(NULL, RECORD_PAGES * PAGE_WORDS * 8, rights, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++)
    if (strcmp(MODES[i].name, mode) == 0) MODES[i].run();
  return 2;
}
