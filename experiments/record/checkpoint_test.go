package record

import (
	"strings"
	"testing"

	"epochal/experiments"

	"github.com/google/go-cmp/cmp"
)

func FuzzParseCheckpoint(f *testing.F) {
	f.Add("1", "3", "56", "0", "0", "last", "0", "0.5")
	f.Add("2", "-1", "1e9", "9223372036854775807", "NaN", "best", "x", "+Inf")
	f.Fuzz(func(t *testing.T, version, epoch, step, metrics, seconds, keep, best, loss string) {
		var c checkpoint
		err := c.parse(map[string]string{"checkpoint_version": version, "epoch": epoch, "step": step, "metrics_bytes": metrics,
			"epoch_seconds": seconds, "keep": keep, "best_epoch": best, "best_loss": loss})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "metadata: ") {
				t.Errorf("found error %v", err)
			}
			return
		}
		if c.Epoch < 1 || c.Epoch > experiments.MaxEpochs+1 || c.Step < 0 || c.metricsBytes < 0 || !(c.epochSeconds >= 0) || !(c.bestLoss >= 0) {
			t.Errorf("found %+v", c)
		}
		var again checkpoint
		if err := again.parse(c.metadata()); err != nil || !cmp.Equal(c, again, cmp.AllowUnexported(checkpoint{})) {
			t.Errorf("found %+v and error %v, expected %+v", again, err, c)
		}
	})
}
