package main

import (
	"errors"
	"reflect"
	"testing"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/rows"
)

// A result that is used again holds nothing of the row before it.
func TestFillSetsEveryField(t *testing.T) {
	v := engine.Verdict{NearestSafe: 3}
	used := rows.Refused(rows.TextID("before"), errors.New("refused"))
	fields := reflect.ValueOf(&used).Elem()
	for i := range fields.NumField() {
		switch f := fields.Field(i); f.Kind() {
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int64:
			f.SetInt(77)
		case reflect.Float32:
			f.SetFloat(77)
		case reflect.String:
			f.SetString("before")
		}
	}
	var fresh rows.Result
	fill(&used, rows.IntID(1), &v)
	fill(&fresh, rows.IntID(1), &v)
	if !reflect.DeepEqual(used, fresh) {
		t.Errorf("got %+v after another row, want %+v", used, fresh)
	}
}
