//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// share is how much of the full counts is wanted: SALLYPORT_SOAK=1 is all of them,
// 0.1 a tenth, and nothing what make e2e runs.
func share() float64 {
	text := os.Getenv("SALLYPORT_SOAK")
	if text == "" {
		return 0
	}
	s, err := strconv.ParseFloat(text, 64)
	if err != nil || s <= 0 || s > 1 {
		panic("SALLYPORT_SOAK is a share of the full counts, such as 1 or 0.1, and not " + text)
	}
	return s
}

// counts is how often a fault is tried: a few times by make e2e, and that share of
// the full count by make soak; full 0 = all there are.
func counts(few, full int) int {
	switch s := share(); {
	case s == 1:
		return full
	case full < few:
		return few
	default:
		return max(few, int(s*float64(full)))
	}
}

// soak says that the counts are full: only then are ratios of latencies held.
func soak() bool { return share() == 1 }

func TestCountsAreAShareOfTheFull(t *testing.T) {
	for _, c := range []struct {
		share           string
		few, full, want int
	}{
		{"", 10, 1000, 10}, {"1", 10, 1000, 1000}, {"0.1", 10, 1000, 100}, {"0.001", 10, 1000, 10},
		{"", 3000, 0, 3000}, {"1", 3000, 0, 0}, {"0.5", 3000, 0, 3000},
	} {
		t.Setenv("SALLYPORT_SOAK", c.share)
		if got := counts(c.few, c.full); got != c.want {
			t.Errorf("SALLYPORT_SOAK=%s: counts(%d, %d) is %d, want %d", c.share, c.few, c.full, got, c.want)
		}
		if soak() != (c.share == "1") {
			t.Errorf("SALLYPORT_SOAK=%s: full is %v", c.share, soak())
		}
	}
}

func TestEveryProgramThatIsNeededSaysWhatToInstall(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		for _, m := range regexp.MustCompile(`need\(t, "([^"]+)"\)`).FindAllStringSubmatch(read(t, f), -1) {
			if n++; packages[m[1]] == "" {
				t.Errorf("%s needs %s, and packages does not say what to install for it", f, m[1])
			}
		}
	}
	if n == 0 {
		t.Error("no program is needed")
	}
}
