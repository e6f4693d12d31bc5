package segment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"posthouse/internal/blob"
)

// VerifyHeads calls report for every segment whose head is damaged. Its bodies can be
// read still while the header of its first record is good, which knows as much.
func (s *Store) VerifyHeads(ctx context.Context, report func(num uint32, err error)) error {
	for _, num := range s.numbersOf() {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := s.files.acquire(num)
		if errors.Is(err, blob.ErrCorrupt) {
			report(num, err)
			continue
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // collected meanwhile; what refers to it otherwise is told by Verify
		}
		if err != nil {
			return err
		}
		var b [headSize]byte
		n, err := f.ReadAt(b[:], 0)
		if err == io.EOF {
			err = nil
		}
		if err == nil {
			if _, bad := parseHead(b[:n], num); bad != nil {
				report(num, fmt.Errorf("%w: its head: %w", blob.ErrCorrupt, bad))
			}
		}
		f.release()
		if err != nil {
			return fmt.Errorf("segment: %w", err)
		}
	}
	return nil
}
