// The first process of the emulated machine: runs /t/command by the shell, prints its exit status between markers on the serial line,
// and asks bochs to quit.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void mount_at(const char* kind, const char* path) {
  mkdir(path, 0755);
  mount(kind, path, kind, 0, NULL);
}

static int run_command(void) {
  const pid_t child = fork();
  if (child == 0) {
    if (chdir("/t") == 0) execl("/bin/sh", "sh", "/t/command", (char*)NULL);
    _exit(127);
  }
  int status;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(void) {
  mount_at("proc", "/proc");
  mount_at("sysfs", "/sys");
  mount_at("devtmpfs", "/dev");
  const int serial = open("/dev/ttyS0", O_RDWR);
  for (int fd = 0; fd < 3 && serial >= 0; ++fd) dup2(serial, fd);
  setenv("PATH", "/bin", 1);
  const int status = run_command();
  printf("@@END %d\n", status);
  fflush(stdout);
  sync();
  usleep(200000);
  if (iopl(3) == 0) {
    for (const char* letter = "Shutdown"; *letter != 0; ++letter) outb((unsigned char)*letter, 0x8900);  // bochs's exit
  }
  reboot(RB_POWER_OFF);
  for (;;) pause();
}
