package detect

import (
	"fmt"
	"time"
)

// Modes of the outlier rule.
const (
	Reference  = "reference"  // section 5 of the validator specification
	Calibrated = "calibrated" // flags clean rows at 1 - sensitivity
)

// Config are the settings of a detector.
type Config struct {
	Mode        string  // Reference or Calibrated
	Sensitivity float64 // share of clean rows that all rules together let pass; 0.5 to 0.999
	Width       int     // n, columns of a workspace row; at least 2
	// Quota is how many rows a source may bring within a Window at once; what
	// it brought is forgotten at the rate Quota per Window. 0: no limit.
	Quota int
	// Total is how many all sources together may, the operator apart, whatever
	// they call themselves. 0: no limit but theirs.
	Total  int
	Window time.Duration
}

// DefaultConfig is calibrated, for a workspace of 8.
func DefaultConfig() Config {
	return Config{Mode: Calibrated, Sensitivity: 0.95, Width: 8, Quota: 100, Total: 1000, Window: time.Hour}
}

// Validate says which setting is outside its range.
func (c *Config) Validate() error {
	switch {
	case c.Mode != Reference && c.Mode != Calibrated:
		return fmt.Errorf("detector: mode %q, expected %s or %s", c.Mode, Reference, Calibrated)
	case !(c.Sensitivity >= 0.5 && c.Sensitivity <= 0.999):
		return fmt.Errorf("detector: sensitivity %v, expected 0.5 to 0.999", c.Sensitivity)
	case c.Width < 2:
		return fmt.Errorf("detector: width %d, expected at least 2", c.Width)
	case c.Quota < 0:
		return fmt.Errorf("detector: quota %d, expected at least 0", c.Quota)
	case c.Total < 0:
		return fmt.Errorf("detector: quota of all sources %d, expected at least 0", c.Total)
	case c.Quota > 0 && c.Window <= 0:
		return fmt.Errorf("detector: window %v, expected more than 0", c.Window)
	}
	return nil
}
