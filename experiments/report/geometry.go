package report

// box is a rectangle on a sheet, in dots from the upper left corner.
type box struct{ left, top, right, bottom float64 }

// has reports whether d is in the box or at its edge.
func (b box) has(d dot) bool {
	return d.x >= b.left && d.x <= b.right && d.y >= b.top && d.y <= b.bottom
}

// cut returns the pieces of a line that are in the box. A line of a single dot is
// one piece if it is in it.
func (b box) cut(line []dot) [][]dot {
	if len(line) == 1 && b.has(line[0]) {
		return [][]dot{line}
	}
	var pieces [][]dot
	open := false // whether the last piece goes on
	for i := 1; i < len(line); i++ {
		from, to, ok := b.clip(line[i-1], line[i])
		if !ok {
			open = false
			continue
		}
		if !open {
			pieces = append(pieces, []dot{from})
		}
		pieces[len(pieces)-1] = append(pieces[len(pieces)-1], to)
		open = to == line[i]
	}
	return pieces
}

// clip returns the part of a straight line that is in the box, if there is one.
// Ends in the box are returned as they are.
func (b box) clip(from, to dot) (dot, dot, bool) {
	dx, dy := to.x-from.x, to.y-from.y
	enter, leave := 0.0, 1.0 // shares of the way
	for _, edge := range []struct{ move, room float64 }{
		{-dx, from.x - b.left}, {dx, b.right - from.x},
		{-dy, from.y - b.top}, {dy, b.bottom - from.y},
	} {
		switch {
		case edge.move == 0:
			if edge.room < 0 {
				return from, to, false
			}
		case edge.move < 0:
			enter = max(enter, edge.room/edge.move)
		default:
			leave = min(leave, edge.room/edge.move)
		}
	}
	if enter > leave {
		return from, to, false
	}
	start, end := from, to
	if enter > 0 {
		start = dot{from.x + enter*dx, from.y + enter*dy}
	}
	if leave < 1 {
		end = dot{from.x + leave*dx, from.y + leave*dy}
	}
	return start, end, true
}

// thinned leaves out what cannot be seen of a line from left to right with more
// dots than there are on the way: of all in one column it keeps the first, the
// highest, the lowest and the last, in their order.
func thinned(line []dot) []dot {
	const most = 4 // in a column
	if len(line) == 0 || float64(len(line)) <= most*(line[len(line)-1].x-line[0].x) || len(line) <= most {
		return line
	}
	var kept []dot
	for start := 0; start < len(line); {
		end, highest, lowest := start, start, start
		for ; end < len(line) && int(line[end].x) == int(line[start].x); end++ {
			if line[end].y < line[highest].y {
				highest = end
			}
			if line[end].y > line[lowest].y {
				lowest = end
			}
		}
		last := -1
		for _, i := range []int{start, min(highest, lowest), max(highest, lowest), end - 1} {
			if i > last {
				kept = append(kept, line[i])
				last = i
			}
		}
		start = end
	}
	return kept
}
