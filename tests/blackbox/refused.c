/* Asks the kernel for what no build needs. Says what was granted, and ends with 1 if anything was. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int granted;

static void refused(const char *name, long result, int expected)
{
	if (result == -1 && errno == expected)
		return;
	printf("%s: %ld, %s\n", name, result, strerror(errno));
	granted = 1;
}

#define TRY(call, expected, ...) refused(#call, syscall(SYS_##call, __VA_ARGS__), expected)

#ifdef __x86_64__
/* By the number of i386; -EPERM, or whatever a kernel without i386 does. */
static void try_i386(const char *name, int number)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		int result;

		signal(SIGSEGV, SIG_DFL);
		__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(0), "c"(0), "d"(0), "S"(0), "D"(0) : "memory");
		_exit(result == -EPERM || result == -ENOSYS ? 0 : 1);
	}
	waitpid(child, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
		printf("%s of i386\n", name);
		granted = 1;
	}
}
#endif

int main(void)
{
	TRY(keyctl, EPERM, 0, 0, 0, 0, 0);
	TRY(add_key, EPERM, 0, 0, 0, 0, 0);
	TRY(request_key, EPERM, 0, 0, 0, 0);
	TRY(bpf, EPERM, 0, 0, 0);
	TRY(perf_event_open, EPERM, 0, 0, 0, 0, 0);
	TRY(userfaultfd, EPERM, 1);
	TRY(kexec_load, EPERM, 0, 0, 0, 0);
	TRY(mount, EPERM, 0, 0, 0, 0, 0);
	TRY(umount2, EPERM, 0, 0);
	TRY(pivot_root, EPERM, 0, 0);
	TRY(fsopen, EPERM, 0, 0);
	TRY(open_tree, EPERM, 0, 0, 0);
	TRY(move_mount, EPERM, 0, 0, 0, 0, 0);
	TRY(mount_setattr, EPERM, 0, 0, 0, 0, 0);
	TRY(open_by_handle_at, EPERM, 0, 0, 0);
	TRY(setns, EPERM, 0, 0);
	TRY(unshare, EPERM, CLONE_NEWUSER);
	TRY(unshare, EPERM, CLONE_NEWNS | CLONE_FILES);
	TRY(clone, EPERM, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
	TRY(clone, EPERM, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0);
	TRY(clone3, ENOSYS, 0, 0);
	TRY(prlimit64, EPERM, getppid(), 7, 0, 0);
	TRY(setpriority, EPERM, 0, getppid(), 19);
	TRY(setpriority, EPERM, 2, 0, 19);
	TRY(sched_setaffinity, EPERM, getppid(), 0, 0);
	TRY(shmget, ENOSYS, 0, 4096, 01600);
	TRY(io_uring_setup, ENOSYS, 1, 0);
	TRY(ioctl, EPERM, 0, TIOCSTI, "x");
	TRY(ioctl, EPERM, 0, TIOCSTI | 1UL << 32, "x");
	TRY(ioctl, EPERM, 0, TIOCLINUX, "x");
#ifdef __x86_64__
	refused("getpid of x32", syscall(0x40000000 | SYS_getpid), ENOSYS);
	try_i386("keyctl", 288);
	try_i386("bpf", 357);
	try_i386("mount", 21);
	try_i386("clone3", 435);
#endif
	if (unshare(CLONE_FILES) != 0 || syscall(SYS_setpriority, 0, 0, 19) != 0 || syscall(SYS_prlimit64, 0, 7, 0, 0) != 0) {
		printf("what is harmless is refused as well\n");
		granted = 1;
	}
	return granted;
}
