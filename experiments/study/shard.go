package study

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"epochal/experiments"
	"epochal/experiments/record"
)

// MaxShards is the most parts that a study may be split into.
const MaxShards = 100_000

const shardForm = "i/N with i from 0 to N-1, such as 0/4"

// Shard is one of Count parts of a study, from 0. A run belongs to one of them by its
// identity alone: to the same one whatever other runs there are. The zero value is all of it.
type Shard struct{ Index, Count int }

// ParseShard reads a shard as "0/4". The error is an [experiments.Problem].
func ParseShard(text string) (Shard, error) {
	index, count, found := strings.Cut(text, "/")
	i, err1 := strconv.Atoi(index)
	n, err2 := strconv.Atoi(count)
	if !found || err1 != nil || err2 != nil || i < 0 || i >= n || n > MaxShards {
		return Shard{}, experiments.Problem{Field: "shard", Found: strconv.Quote(text), Expected: shardForm}
	}
	return Shard{i, n}, nil
}

// String is "0/4", and "" for all.
func (s Shard) String() string {
	if s.Count == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Index, s.Count)
}

// Has reports whether the run of an identity belongs to the shard.
func (s Shard) Has(identity string) bool {
	return s.Count <= 1 || ShardOf(identity, s.Count) == s.Index
}

// ShardOf is which of so many shards the run of an identity belongs to.
func ShardOf(identity string, count int) int {
	first, _ := hex.DecodeString(identity[:16]) // it is ours
	return int(binary.BigEndian.Uint64(first) % uint64(count))
}

// shardLock begins the names of the lock files of shards: .lock-0-of-4.
const shardLock = record.LockFile + "-"

// lockFile is the lock file of the shard in the folder of a study.
func (s Shard) lockFile() string {
	if s.Count == 0 {
		return record.LockFile
	}
	return fmt.Sprintf("%s%d-of-%d", shardLock, s.Index, s.Count)
}

// underWay says of which shard a [record.Busy] is, by its lock file.
func underWay(lockFile string, err error) error {
	if part, shard := strings.CutPrefix(lockFile, shardLock); shard && errors.As(err, new(record.Busy)) {
		return fmt.Errorf("shard %s is being made: %w", strings.Replace(part, "-of-", "/", 1), err)
	}
	return err
}

// hold takes the lock of the shard. Different shards of one number have no run in common,
// and are made at the same time; any others are not: of two, at least one fails with
// [record.Busy], because each looks for the other once it holds its own lock.
func (s Shard) hold(folder string, now time.Time) (*record.Lock, error) {
	lock, err := record.LockPart(folder, s.lockFile(), now)
	if err != nil {
		return nil, underWay(s.lockFile(), err)
	}
	entries, err := os.ReadDir(folder)
	for _, entry := range entries {
		name := entry.Name()
		of, shard := strings.CutPrefix(name, shardLock)
		beside := shard && strings.HasSuffix(of, fmt.Sprintf("-of-%d", s.Count))
		if err == nil && name != s.lockFile() && (shard || name == record.LockFile) && !beside {
			err = underWay(name, record.CheckUnlocked(folder, name))
		}
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}
