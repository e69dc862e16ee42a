/*
 * A compiler, assembler, linker and modpost that is quick: it writes what it sees. Its arguments are files with a
 * line for each thing to look at:
 *
 *     read PATH    its content          stat PATH    what is there        list PATH    a directory's names
 *     link PATH    a link's target      env NAME     a variable           self         this program's content
 *     run PROGRAM FILE                  what another one sees             machine      limits and the like
 *     hold PATH    waits while somebody has the file locked; says nothing
 *
 * Called `strip`, it adds a line to its last argument. It is static, so that a copy with other bytes behind it still runs.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned long long mix(unsigned long long hash, const unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
	return hash;
}

static void content(const char *path, FILE *out)
{
	unsigned char bytes[65536];
	unsigned long long hash = 0xcbf29ce484222325ULL;
	ssize_t length;
	int file = open(path, O_RDONLY);

	while (file >= 0 && (length = read(file, bytes, sizeof bytes)) > 0)
		hash = mix(hash, bytes, length);
	if (file < 0 || length < 0)
		fprintf(out, "%s\n", strerrorname_np(errno));
	else
		fprintf(out, "%016llx\n", hash);
	if (file >= 0)
		close(file);
}

static int is_entry(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
}

static void list(const char *path)
{
	struct dirent **names;
	int count = scandir(path, &names, is_entry, alphasort);

	for (int i = 0; i < count; i++)
		printf("%s%s", i ? " " : "", names[i]->d_name);
	printf(count < 0 ? "%s\n" : "\n", strerrorname_np(errno));
}

static void look(const char *path)
{
	struct stat is;

	if (stat(path, &is))
		printf("%s\n", strerrorname_np(errno));
	else if (S_ISREG(is.st_mode))
		printf("file %lld%s%s\n", (long long)is.st_size, access(path, X_OK) ? "" : " runs",
		       access(path, R_OK) ? "" : " reads");
	else
		printf(S_ISDIR(is.st_mode) ? "directory\n" : "something\n");
}

static void follow(const char *path)
{
	char target[4096];
	ssize_t length = readlink(path, target, sizeof target);

	printf("%.*s\n", length < 0 ? 4 : (int)length, length < 0 ? "none" : target);
}

static void machine(void)
{
	static const int limits[] = { RLIMIT_STACK, RLIMIT_NOFILE, RLIMIT_CORE, RLIMIT_FSIZE, RLIMIT_AS, RLIMIT_CPU };
	struct rlimit limit;
	struct sigaction action;
	cpu_set_t set;
	char host[256] = "";
	mode_t mask = umask(022);

	umask(mask);
	gethostname(host, sizeof host);
	sched_getaffinity(0, sizeof set, &set);
	printf("umask %03o, host %s, %d processors, %ld configured, uid %d, limits", mask, host, CPU_COUNT(&set),
	       sysconf(_SC_NPROCESSORS_ONLN), (int)getuid());
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		getrlimit(limits[i], &limit);
		printf(" %lld", (long long)limit.rlim_cur);
	}
	printf(", ignored");
	for (int signal = 1; signal < 32; signal++)
		if (!sigaction(signal, NULL, &action) && action.sa_handler == SIG_IGN)
			printf(" %d", signal);
	printf("\n");
}

static void run(char *program, char *argument)
{
	int status = 0;
	pid_t child;

	printf("\n");
	fflush(stdout);
	child = fork();
	if (!child) {
		execlp(program, program, argument, NULL);
		printf("%s\n", strerrorname_np(errno));
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, &status, 0);
	if (status)
		printf("status %d\n", status);
}

static void hold(const char *path)
{
	int file = open(path, O_RDONLY);

	if (file < 0 || flock(file, LOCK_SH))
		exit(3);
	close(file);
}

static int all(const char *path)
{
	char line[8192];
	FILE *file = fopen(path, "re");

	while (file && fgets(line, sizeof line, file)) {
		char *word = strtok(line, " \n"), *first = strtok(NULL, " \n"), *second = strtok(NULL, " \n");

		if (!word || *word == '#')
			continue;
		if (!strcmp(word, "hold")) {
			hold(first);
			continue;
		}
		printf("%s %s: ", word, first ? first : "");
		if (!strcmp(word, "read"))
			content(first, stdout);
		else if (!strcmp(word, "stat"))
			look(first);
		else if (!strcmp(word, "list"))
			list(first);
		else if (!strcmp(word, "link"))
			follow(first);
		else if (!strcmp(word, "env"))
			printf("%s\n", getenv(first) ? getenv(first) : "none");
		else if (!strcmp(word, "machine"))
			machine();
		else if (!strcmp(word, "run"))
			run(first, second);
		else if (!strcmp(word, "self"))
			content((char *)getauxval(AT_EXECFN), stdout);
		else
			return 2;
	}
	return file ? 0 : 4;
}

int main(int count, char **arguments)
{
	const char *name = strrchr(arguments[0], '/');

	name = name ? name + 1 : arguments[0];
	if (!strcmp(name, "strip")) {
		FILE *module = fopen(arguments[count - 1], "a");

		fprintf(module, "strip: ");
		content((char *)getauxval(AT_EXECFN), module);
		return fclose(module);
	}
	for (int i = 1; i < count; i++) {
		int status = all(arguments[i]);

		if (status)
			return status;
	}
	return 0;
}
