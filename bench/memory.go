package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// resident is the memory of a process in bytes (proc_pid_status(5)), 0 when
// the system does not say.
func resident(pid int) int64 {
	kib, err := strconv.ParseInt(strings.TrimSuffix(procField(fmt.Sprintf("/proc/%d/status", pid), "VmRSS"), " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

// deviceMemory is what this process holds on the GPUs in bytes, by the
// driver's own tool; 0 when there is none.
func deviceMemory(ctx context.Context) int64 {
	out, err := exec.CommandContext(ctx, "nvidia-smi", "--query-compute-apps=pid,used_gpu_memory", "--format=csv,noheader,nounits").Output()
	if err != nil {
		return 0
	}
	return usedBy(os.Getpid(), string(out))
}

// usedBy reads lines of "pid, MiB".
func usedBy(pid int, lines string) (bytes int64) {
	for line := range strings.Lines(lines) {
		owner, used, _ := strings.Cut(line, ",")
		mib, err := strconv.ParseInt(strings.TrimSpace(used), 10, 64)
		if err == nil && strings.TrimSpace(owner) == strconv.Itoa(pid) {
			bytes += mib << 20
		}
	}
	return bytes
}
