package torch

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// AvailableCPUs is how many CPUs this process may use: its affinity, and the
// tightest quota among its cgroup and the cgroups above it (version 2
// cpu.max, version 1 cpu.cfs_quota_us), rounded up; at least 1.
func AvailableCPUs() int {
	groups, _ := os.ReadFile("/proc/self/cgroup") // absent: no cgroups
	return cpusWithin(runtime.NumCPU(), "/sys/fs/cgroup", string(groups))
}

// cpusWithin applies the quotas below root, given /proc/self/cgroup.
func cpusWithin(cpus int, root, groups string) int {
	limit := float64(cpus)
	for _, line := range strings.Split(strings.TrimSpace(groups), "\n") {
		fields := strings.SplitN(line, ":", 3)
		if len(fields) != 3 {
			continue
		}
		base := root
		if fields[1] != "" {
			if !strings.Contains(","+fields[1]+",", ",cpu,") {
				continue
			}
			base = filepath.Join(root, fields[1])
		}
		for group := filepath.Clean("/" + fields[2]); ; group = filepath.Dir(group) {
			limit = min(limit, quota(filepath.Join(base, group)))
			if group == "/" {
				break
			}
		}
	}
	return max(1, int(math.Ceil(limit)))
}

// quota is what one cgroup grants, in CPUs; infinity when it sets no limit.
func quota(group string) float64 {
	number := func(s string) float64 {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || v <= 0 {
			return math.Inf(1) // "max", -1
		}
		return v
	}
	read := func(name string) []string {
		data, _ := os.ReadFile(filepath.Join(group, name)) // absent: no limit
		return strings.Fields(string(data))
	}
	if fields := read("cpu.max"); len(fields) == 2 {
		return number(fields[0]) / number(fields[1])
	}
	limit, period := read("cpu.cfs_quota_us"), read("cpu.cfs_period_us")
	if len(limit) == 1 && len(period) == 1 {
		return number(limit[0]) / number(period[0])
	}
	return math.Inf(1)
}
