/*
 * Holds shared memory and does with it what it is told, a line at a time, answering each with a line:
 *   w FIRST PAGES     writes the pages          r FIRST PAGES    reads them
 *   o FIRST PAGES     MADV_PAGEOUT              z FIRST PAGES    MADV_REMOVE
 *   m                 maps the object once more, and tells where
 *   u                 unmaps that mapping
 *   c                 compares all pages with what was written: the number that differ
 * Usage: holder PAGES [huge]. The first line says where the memory is, in hex.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL
#define HUGE_BYTES (2UL << 20)
#define MADV_REMOVE_ 9
#define MADV_HUGEPAGE_ 14
#define MADV_PAGEOUT_ 21

int main(int argc, char **argv) {
  unsigned long pages = argc > 1 ? strtoul(argv[1], NULL, 10) : 64;
  unsigned long bytes = pages * PAGE, written = 0;
  uint64_t *expected = calloc(pages, sizeof *expected);
  int fd = memfd_create("holder", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0) return 1;
  char *reserved = mmap(NULL, bytes + HUGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *aligned = (char *)(((uintptr_t)reserved + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1));
  char *memory = mmap(aligned, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
  if (memory == MAP_FAILED) return 1;
  if (argc > 2) madvise(memory, bytes, MADV_HUGEPAGE_);
  char *more = MAP_FAILED;
  printf("%lx\n", (unsigned long)memory);
  fflush(stdout);

  char line[128], op;
  while (fgets(line, sizeof line, stdin)) {
    unsigned long first = 0, count = 0, answer = 0, i;
    if (sscanf(line, "%c %lu %lu", &op, &first, &count) < 1 || first + count > pages) return 2;
    volatile uint64_t *word;
    switch (op) {
      case 'w':
        for (i = first; i < first + count; i++) {
          expected[i] = ++written;
          *(volatile uint64_t *)(memory + i * PAGE) = written;
        }
        break;
      case 'r':
        for (i = first; i < first + count; i++) {
          word = (volatile uint64_t *)(memory + i * PAGE);
          answer += *word == expected[i] ? 0 : 1;
        }
        break;
      case 'o':
        answer = (unsigned long)-madvise(memory + first * PAGE, count * PAGE, MADV_PAGEOUT_);
        break;
      case 'z':
        answer = (unsigned long)-madvise(memory + first * PAGE, count * PAGE, MADV_REMOVE_);
        memset(expected + first, 0, count * sizeof *expected);
        break;
      case 'm':
        more = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        answer = (unsigned long)more;
        break;
      case 'u':
        answer = (unsigned long)-munmap(more, bytes);
        break;
      case 'c':
        for (i = 0; i < pages; i++) answer += *(uint64_t *)(memory + i * PAGE) == expected[i] ? 0 : 1;
        break;
      default:
        return 2;
    }
    printf("%lx\n", answer);
    fflush(stdout);
  }
  return 0;
}
