package main

import (
	"os/exec"
	"syscall"
)

// bindToParent has a process end when this one does, and keeps the terminal's interrupts from it: what becomes of it is
// this one's business.
func bindToParent(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
