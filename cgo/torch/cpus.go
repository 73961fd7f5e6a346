package torch

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
)

// AvailableCPUs is how many CPUs this process may keep busy: what its
// affinity and the CPU quotas of its cgroup and all groups above it grant,
// rounded up, at least 1.
func AvailableCPUs() int { return availableCPUs(os.DirFS("/"), runtime.NumCPU()) }

func availableCPUs(root fs.FS, affinity int) int {
	groups := cgroupPaths(root)
	granted := float64(affinity)
	for _, m := range cgroupMounts(root) {
		group, ok := groups[m.controller]
		if !ok {
			continue
		}
		// Seen from the mount: a process in a namespace of its own, whose
		// path is not below the mount's root, sees its group at the mount.
		below, found := strings.CutPrefix(group, strings.TrimSuffix(m.root, "/"))
		if !found || (below != "" && below[0] != '/') {
			below = ""
		}
		for dir := path.Join("/", m.point, below); ; dir = path.Dir(dir) {
			granted = min(granted, m.quota(root, dir))
			if dir == path.Clean(m.point) || dir == "/" {
				break
			}
		}
	}
	return max(1, int(math.Ceil(granted)))
}

// cgroupMount is a mounted hierarchy: version 2, or version 1 with cpu.
type cgroupMount struct {
	controller  string // "" in version 2, "cpu" in version 1
	root, point string
}

// quota is what one group grants, in CPUs.
func (m cgroupMount) quota(root fs.FS, dir string) float64 {
	var quota, period string
	if m.controller == "" {
		fields := strings.Fields(readText(root, path.Join(dir, "cpu.max")))
		if len(fields) != 2 {
			return math.Inf(1)
		}
		quota, period = fields[0], fields[1]
	} else {
		quota = strings.TrimSpace(readText(root, path.Join(dir, "cpu.cfs_quota_us")))
		period = strings.TrimSpace(readText(root, path.Join(dir, "cpu.cfs_period_us")))
	}
	// "max", -1 and what cannot be read are no limit.
	q, err := strconv.ParseFloat(quota, 64)
	p, errPeriod := strconv.ParseFloat(period, 64)
	if err != nil || errPeriod != nil || q <= 0 || p <= 0 {
		return math.Inf(1)
	}
	return q / p
}

// cgroupPaths reads the process's group in each hierarchy, by controller.
func cgroupPaths(root fs.FS) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(readText(root, "/proc/self/cgroup")) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(fields[1], ",") {
			out[controller] = fields[2]
		}
	}
	return out
}

// cgroupMounts finds the hierarchies that limit CPUs (proc_pid_mountinfo(5)).
func cgroupMounts(root fs.FS) []cgroupMount {
	var out []cgroupMount
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(readText(root, "/proc/self/mountinfo")) {
		mount, system, found := strings.Cut(line, " - ")
		fields, kind := strings.Fields(mount), strings.Fields(system)
		if !found || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		m := cgroupMount{root: unescape.Replace(fields[3]), point: unescape.Replace(fields[4])}
		switch kind[0] {
		case "cgroup2":
		case "cgroup":
			if !strings.Contains(","+kind[2]+",", ",cpu,") {
				continue
			}
			m.controller = "cpu"
		default:
			continue
		}
		out = append(out, m)
	}
	return out
}

func readText(root fs.FS, name string) string {
	text, err := fs.ReadFile(root, strings.TrimPrefix(name, "/"))
	if err != nil {
		return ""
	}
	return string(text)
}
