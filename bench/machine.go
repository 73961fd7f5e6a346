package bench

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// Machine is where a report was made.
type Machine struct {
	CPU       string  `json:"cpu"`
	CPUs      int     `json:"cpus"` // that the process may use
	MemoryGiB float64 `json:"memory_gib"`
	System    string  `json:"system"`
	Go        string  `json:"go"`
	// Load is the average number of runnable threads in the minute before.
	Load float64 `json:"load"`
}

// Busy tells whether others were computing when the run began, so that its
// figures say less.
func (m *Machine) Busy() bool { return m.Load > 0.5*float64(m.CPUs) }

// thisMachine reads what the system says; what it does not say stays empty.
func thisMachine() Machine {
	m := Machine{CPU: procField("/proc/cpuinfo", "model name"), CPUs: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	if m.CPU == "" {
		m.CPU = "unknown CPU"
	}
	kib, err := strconv.ParseFloat(strings.TrimSuffix(procField("/proc/meminfo", "MemTotal"), " kB"), 64)
	if err == nil {
		m.MemoryGiB = kib / (1 << 20)
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		first, _, _ := strings.Cut(string(text), " ")
		if load, err := strconv.ParseFloat(first, 64); err == nil {
			m.Load = load
		}
	}
	return m
}

// procField is the value of the first line "name : value" of a file in /proc.
func procField(path, name string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close() //nolint:errcheck // only read
	for lines := bufio.NewScanner(file); lines.Scan(); {
		key, value, found := strings.Cut(lines.Text(), ":")
		if found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
