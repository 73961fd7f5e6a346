package torch

import (
	"testing"
	"testing/fstest"
)

func TestAvailableCPUs(t *testing.T) {
	const (
		v2mount = "30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
		v1mount = "33 30 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n" +
			"34 30 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
		v2group = "sys/fs/cgroup"
		v1group = "sys/fs/cgroup/cpu,cpuacct"
	)
	for _, c := range []struct {
		name           string
		affinity, want int
		files          map[string]string
	}{
		{"no cgroups", 6, 6, nil},
		{"version 2", 8, 2, map[string]string{"proc/self/mountinfo": v2mount, "proc/self/cgroup": "0::/a/b\n",
			v2group + "/a/b/cpu.max": "200000 100000\n"}},
		{"version 2, no limit", 8, 8, map[string]string{"proc/self/mountinfo": v2mount, "proc/self/cgroup": "0::/a/b\n",
			v2group + "/a/b/cpu.max": "max 100000\n"}},
		{"version 2, the group above is tighter", 8, 3, map[string]string{"proc/self/mountinfo": v2mount, "proc/self/cgroup": "0::/a/b\n",
			v2group + "/a/b/cpu.max": "500000 100000\n", v2group + "/a/cpu.max": "300000 100000\n"}},
		{"version 2, the top is tighter", 8, 1, map[string]string{"proc/self/mountinfo": v2mount, "proc/self/cgroup": "0::/a\n",
			v2group + "/a/cpu.max": "500000 100000\n", v2group + "/cpu.max": "50000 100000\n"}},
		{"a part of a CPU counts as one", 8, 3, map[string]string{"proc/self/mountinfo": v2mount, "proc/self/cgroup": "0::/\n",
			v2group + "/cpu.max": "250000 100000\n"}},
		{"affinity is tighter", 2, 2, map[string]string{"proc/self/mountinfo": v2mount, "proc/self/cgroup": "0::/\n",
			v2group + "/cpu.max": "400000 100000\n"}},
		{"version 1", 8, 2, map[string]string{"proc/self/mountinfo": v1mount, "proc/self/cgroup": "4:memory:/m\n3:cpu,cpuacct:/a\n",
			v1group + "/a/cpu.cfs_quota_us": "150000\n", v1group + "/a/cpu.cfs_period_us": "100000\n"}},
		{"version 1, no limit", 8, 8, map[string]string{"proc/self/mountinfo": v1mount, "proc/self/cgroup": "3:cpu,cpuacct:/a\n",
			v1group + "/a/cpu.cfs_quota_us": "-1\n", v1group + "/a/cpu.cfs_period_us": "100000\n"}},
		{"version 1, seen from inside a container", 8, 4, map[string]string{
			"proc/self/mountinfo":                      "33 30 0:30 /docker/x /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n",
			"proc/self/cgroup":                         "3:cpu:/docker/x/inner\n",
			"sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us": "800000\n", "sys/fs/cgroup/cpu/inner/cpu.cfs_period_us": "100000\n",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}},
		{"a group outside the mount is the mount itself", 8, 5, map[string]string{
			"proc/self/mountinfo": "33 30 0:30 /docker/x /cg\\040roup rw - cgroup2 none rw\n", "proc/self/cgroup": "0::/elsewhere\n",
			"cg roup/cpu.max": "500000 100000\n"}},
		{"garbage", 4, 4, map[string]string{"proc/self/mountinfo": "x\n - cgroup2\n" + v2mount, "proc/self/cgroup": "x\n0::/\n",
			v2group + "/cpu.max": "many 0\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := fstest.MapFS{}
			for name, text := range c.files {
				files[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := availableCPUs(files, c.affinity); got != c.want {
				t.Errorf("got %d, want %d for affinity %d and %q", got, c.want, c.affinity, c.files)
			}
		})
	}
	if got := AvailableCPUs(); got < 1 {
		t.Errorf("here: got %d, want at least 1", got)
	}
}
