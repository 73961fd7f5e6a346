package detect

import (
	"context"
	"fmt"
)

// mostScore stands for a value whose limit is 0, so that scores are numbers.
const mostScore = 1e9

// tie is what two values of the same rows may differ by: distances come in
// float32.
const tie = 1 + 1e-6

// score is a value by its limit.
func score(value, limit float64) float64 {
	if s := value / limit; s < mostScore {
		return s
	}
	return mostScore // also 0/0
}

// Judge answers what the rules find in row i, given all rows that this
// transaction stored or held before. On an error it was not judged.
func (b *Batch) Judge(ctx context.Context, i int) ([]Finding, error) {
	d, row := b.tx.d, &b.rows[i]
	which := row.side()
	if d.due(which) {
		if err := d.refit(ctx, which); err != nil {
			return nil, err
		}
	}
	s := d.sides[which]
	if b.fits[which] != s.fit || i >= b.measured[which] {
		if err := b.measure(ctx, which, i); err != nil {
			return nil, err
		}
	}
	if err := b.compare(ctx, i); err != nil {
		return nil, err
	}
	v := &b.verdicts[i]
	*v = verdict{weight: 1}
	var findings []Finding
	add := func(rule Rule, score float64, holds bool, format string, args ...any) {
		findings = append(findings, Finding{rule, max(1, score), fmt.Sprintf(format, args...), holds})
	}
	if distance, limit, ok := b.outlier(i); ok && distance > tie*limit {
		v.held.Outlier = 1
		add(Outlier, score(distance, limit), true, distanceReason, sideName(which), distance, limit)
	}
	same, other := b.nearest(i)
	limits := s.limits
	if limits == nil {
		limits = noLimits
	}
	switch ratio := ratioOf(same, other); {
	case other == 0 && same > 0:
		v.held.Ratio = 1
		add(Contradiction, mostScore, true, "the same as a pattern of the %s side", sideName(1-which))
	case ratio > tie*limits.Ratio && other <= limits.Within:
		v.held.Ratio = 1
		add(Contradiction, score(ratio, limits.Ratio), true, "nearest %s pattern at %.4g, nearest %s at %.4g (threshold: %.2f times as near)",
			sideName(1-which), other, sideName(which), same, limits.Ratio)
	case tie*other < limits.Close:
		add(Contradiction, score(limits.Close, other), true, "nearest %s pattern at %.4g (threshold: %.4g)", sideName(1-which), other, limits.Close)
	}
	near := s.near()
	copied := same <= near
	if copied {
		v.weight = copyWeight
	}
	if row.Source != "" && d.config.Quota > 0 {
		now := d.now()
		used := d.quotas.used(d.quotas.key(row.Source, now), now) + v.weight
		if used > d.quotas.quota {
			v.weight = 0
			add(Burst, used/d.quotas.quota, true, "source %q used %.1f rows (quota: %d in %v)", row.Source, used, d.config.Quota, d.config.Window)
		} else if all := d.quotas.used(everyone, now) + v.weight; d.config.Total > 0 && all > d.quotas.total {
			v.weight = 0
			add(Burst, all/d.quotas.total, true, "all sources together used %.1f rows (quota of all: %d in %v)", all, d.config.Total, d.config.Window)
		}
	} else {
		v.weight = 0
	}
	if copied {
		add(NearCopy, score(near, same), false, "nearest %s pattern at %.4g (threshold: %.4g)", sideName(which), same, near)
	}
	if s.anchor != nil {
		if moved, limit, drifts := s.anchor.drifts(&s.window, row); drifts {
			add(Drift, score(moved, limit), true, "mean of the newest %s patterns moved by %.4g (threshold: %.4g), and this one farther", sideName(which), moved, limit)
		}
	}
	return findings, nil
}

// near is how near a copy is; before there is a fit, only what is equal is one.
func (s *side) near() float64 {
	if s.fit == nil {
		return 0
	}
	return s.fit.near
}

// outlier is the distance of row i from its side and its limit; not ok:
// insufficient statistics.
func (b *Batch) outlier(i int) (distance, limit float64, ok bool) {
	d, row := b.tx.d, &b.rows[i]
	s := d.sides[row.side()]
	if d.config.Mode == Reference {
		return d.reference(row)
	}
	if s.fit == nil {
		return 0, 0, false
	}
	return b.distance[i], s.fit.limit, true
}
