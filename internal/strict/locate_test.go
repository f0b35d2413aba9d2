package strict

import (
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

func TestFaultsFoundLaterAreLocated(t *testing.T) {
	n, faults := YAML([]byte("a:\n  - b: 1\n    c:\n      X.Y: 2\n  - d:\n    - 3\n    - 4\n"), "f.yaml")
	if faults != nil {
		t.Fatal(faults)
	}
	for path, want := range map[string]int{
		"": 1, "a": 1, "a[0].b": 2, "a[0].c.X.Y": 4, "a[1].d[1]": 7, "a[1].missing": 5, "a[7]": 1, "nothing": 1, "a[0].bb": 2,
	} {
		got := n.Locate(model.Faults{{Path: path}})
		if got[0].Line != want || got[0].File != "f.yaml" {
			t.Errorf("%q is at %s:%d, want line %d", path, got[0].File, got[0].Line, want)
		}
	}
}
