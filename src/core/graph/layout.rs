//! Where boxes and lines go: layers from left to right, few crossings, straight lines where possible. Knows boxes by their
//! sizes only.

/// Between two boxes above each other.
const ROW_GAP: f64 = 12.0;
/// Between two layers without labels on their links.
const LAYER_GAP: f64 = 30.0;
/// What a label needs beside its own width.
const LABEL_MARGIN: f64 = 20.0;
/// Space that a line takes where it passes a layer.
const LINE_HEIGHT: f64 = 4.0;
/// How often the order within the layers is improved; it settles after a few.
const ORDER_SWEEPS: usize = 12;
/// How often the heights are evened out.
const PLACE_SWEEPS: usize = 16;

/// A box to be placed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A line to be drawn between two boxes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Width of its label; 0 for none.
    pub(super) label: f64,
}

/// Where everything is.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Left upper corner of each box.
    pub(super) at: Vec<(f64, f64)>,
    /// The points that each line goes through: pairs of an end and a beginning, curved in between.
    pub(super) through: Vec<Vec<(f64, f64)>>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A box, or the place where a long line passes a layer.
struct Place {
    layer: usize,
    size: Size,
    before: Vec<usize>,
    after: Vec<usize>,
    y: f64,
}

impl Place {
    fn centre(&self) -> f64 {
        self.y + self.size.height / 2.0
    }
}

/// Places boxes and lines.
pub(super) fn layout(sizes: &[Size], lines: &[Line]) -> Layout {
    if sizes.is_empty() {
        return Layout::default();
    }
    let forward = forward(sizes.len(), lines);
    let layers = layers(sizes.len(), lines, &forward);
    let mut places: Vec<Place> = sizes.iter().zip(&layers).map(|(size, layer)| place(*layer, *size)).collect();
    let chains: Vec<Vec<usize>> =
        lines.iter().zip(&forward).map(|(line, forward)| chain(&mut places, line, *forward)).collect();
    let mut rows = rows(&places);
    order(&mut rows, &mut places);
    put_heights(&rows, &mut places);
    let columns = columns(sizes, lines, &layers, rows.len());
    draw(sizes, lines, &places, &chains, &columns)
}

fn place(layer: usize, size: Size) -> Place {
    Place { layer, size, before: Vec::new(), after: Vec::new(), y: 0.0 }
}

/// Which lines lead forward; the others close a circle.
fn forward(boxes: usize, lines: &[Line]) -> Vec<bool> {
    let mut out = vec![Vec::new(); boxes];
    for (number, line) in lines.iter().enumerate() {
        out[line.from].push(number);
    }
    let mut forward = vec![true; lines.len()];
    // 0: not seen; 1: on the way; 2: done.
    let mut seen = vec![0u8; boxes];
    for start in 0..boxes {
        if seen[start] != 0 {
            continue;
        }
        let mut way = vec![(start, 0)];
        seen[start] = 1;
        while let Some((at, next)) = way.last_mut() {
            let Some(number) = out[*at].get(*next).copied() else {
                seen[*at] = 2;
                way.pop();
                continue;
            };
            *next += 1;
            let to = lines[number].to;
            match seen[to] {
                0 => {
                    seen[to] = 1;
                    way.push((to, 0));
                }
                1 => forward[number] = false,
                _ => {}
            }
        }
    }
    forward
}

/// The layer of each box: one more than the last that leads to it.
fn layers(boxes: usize, lines: &[Line], forward: &[bool]) -> Vec<usize> {
    let mut layer = vec![0usize; boxes];
    let ahead: Vec<&Line> = lines.iter().zip(forward).filter(|(_, forward)| **forward).map(|(line, _)| line).collect();
    // As many rounds as the longest way has steps; nothing leads back.
    for _ in 0..boxes {
        let mut changed = false;
        for line in &ahead {
            if layer[line.to] <= layer[line.from] {
                layer[line.to] = layer[line.from] + 1;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    // What nothing leads to stands next to what it leads to.
    for at in 0..boxes {
        if ahead.iter().all(|line| line.to != at)
            && let Some(first) = ahead.iter().filter(|line| line.from == at).map(|line| layer[line.to]).min()
        {
            layer[at] = first.saturating_sub(1);
        }
    }
    layer
}

/// The places a line goes through, with one more in each layer that it passes.
fn chain(places: &mut Vec<Place>, line: &Line, forward: bool) -> Vec<usize> {
    if !forward || line.from == line.to {
        return vec![line.from, line.to];
    }
    let mut chain = vec![line.from];
    for layer in places[line.from].layer + 1..places[line.to].layer {
        places.push(place(layer, Size { width: 0.0, height: LINE_HEIGHT }));
        chain.push(places.len() - 1);
    }
    chain.push(line.to);
    for step in chain.windows(2) {
        places[step[0]].after.push(step[1]);
        places[step[1]].before.push(step[0]);
    }
    chain
}

fn rows(places: &[Place]) -> Vec<Vec<usize>> {
    let count = places.iter().map(|place| place.layer + 1).max().unwrap_or(0);
    let mut rows = vec![Vec::new(); count];
    // Along the flow, so that what belongs together starts together.
    let mut seen = vec![false; places.len()];
    for start in 0..places.len() {
        if !places[start].before.is_empty() {
            continue;
        }
        let mut ahead = vec![start];
        while let Some(at) = ahead.pop() {
            if !std::mem::replace(&mut seen[at], true) {
                rows[places[at].layer].push(at);
                ahead.extend(places[at].after.iter().rev());
            }
        }
    }
    rows
}

/// Orders the places within their layers so that few lines cross: each goes to the middle of its neighbours', from both
/// sides in turn; the best order found is kept.
fn order(rows: &mut [Vec<usize>], places: &mut [Place]) {
    let mut best = (crossings(rows, places), rows.to_vec());
    for sweep in 0..ORDER_SWEEPS {
        let downstream = sweep % 2 == 0;
        let layers: Vec<usize> = if downstream { (0..rows.len()).collect() } else { (0..rows.len()).rev().collect() };
        for layer in layers {
            let position = positions(rows, places.len());
            let key = |at: usize| {
                let near = if downstream { &places[at].before } else { &places[at].after };
                mean(near.iter().map(|near| position[*near])).unwrap_or(position[at])
            };
            rows[layer].sort_by(|a, b| key(*a).total_cmp(&key(*b)));
        }
        let now = crossings(rows, places);
        if now < best.0 {
            best = (now, rows.to_vec());
        }
    }
    rows.clone_from_slice(&best.1);
}

fn positions(rows: &[Vec<usize>], count: usize) -> Vec<f64> {
    let mut position = vec![0.0; count];
    for row in rows {
        for (number, at) in row.iter().enumerate() {
            // Relative, because layers have different numbers of places.
            position[*at] = (count_f64(number) + 0.5) / count_f64(row.len());
        }
    }
    position
}

#[expect(clippy::cast_precision_loss, reason = "a number of boxes")]
fn count_f64(count: usize) -> f64 {
    count as f64
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count_f64(count))
}

fn crossings(rows: &[Vec<usize>], places: &[Place]) -> usize {
    let mut position = vec![0; places.len()];
    for row in rows {
        row.iter().enumerate().for_each(|(number, at)| position[*at] = number);
    }
    let mut count = 0;
    for row in rows {
        let steps: Vec<(usize, usize)> =
            row.iter().flat_map(|at| places[*at].after.iter().map(|to| (position[*at], position[*to]))).collect();
        for (number, (from, to)) in steps.iter().enumerate() {
            count += steps[..number].iter().filter(|(a, b)| (a < from && b > to) || (a > from && b < to)).count();
        }
    }
    count
}

/// Gives every place its height: as near as possible to the middle of its neighbours, in the order of its layer.
fn put_heights(rows: &[Vec<usize>], places: &mut [Place]) {
    for row in rows {
        let mut y = 0.0;
        for at in row {
            places[*at].y = y;
            y += places[*at].size.height + ROW_GAP;
        }
    }
    for sweep in 0..PLACE_SWEEPS {
        let layers: Vec<usize> =
            if sweep % 2 == 0 { (0..rows.len()).rev().collect() } else { (0..rows.len()).collect() };
        for layer in layers {
            let wanted: Vec<f64> = rows[layer]
                .iter()
                .map(|at| {
                    let place = &places[*at];
                    // From all sides, else what hangs on one side would pull the other out of line.
                    let near = place.before.iter().chain(&place.after).map(|near| places[*near].centre());
                    mean(near).unwrap_or(place.centre()) - place.size.height / 2.0
                })
                .collect();
            spread(&rows[layer], &wanted, places);
        }
    }
    // What nothing is linked to wants to be nowhere; it follows closely.
    for row in rows {
        for pair in row.windows(2) {
            let below = places[pair[0]].y + places[pair[0]].size.height + ROW_GAP;
            let place = &mut places[pair[1]];
            if place.before.is_empty() && place.after.is_empty() {
                place.y = below;
            }
        }
    }
    let top = places.iter().map(|place| place.y).fold(f64::INFINITY, f64::min);
    places.iter_mut().for_each(|place| place.y -= top);
}

/// Puts a layer's places at the heights they want, as well as they fit without overlapping: neighbours that would are moved
/// together to the mean of what they want.
fn spread(row: &[usize], wanted: &[f64], places: &mut [Place]) {
    // A block of neighbours: sum of the heights that its first would need, members, and the space before each.
    let mut blocks: Vec<(f64, Vec<(usize, f64)>)> = Vec::new();
    for (at, wanted) in row.iter().zip(wanted) {
        blocks.push((*wanted, vec![(*at, 0.0)]));
        while let [.., above, below] = blocks.as_slice() {
            let Some((last, offset)) = above.1.last() else { break };
            let step = offset + places[*last].size.height + ROW_GAP;
            let top = above.0 / count_f64(above.1.len());
            if top + step <= below.0 / count_f64(below.1.len()) {
                break;
            }
            let (Some(below), Some(above)) = (blocks.pop(), blocks.last_mut()) else { break };
            above.0 += below.0 - step * count_f64(below.1.len());
            above.1.extend(below.1.into_iter().map(|(at, offset)| (at, offset + step)));
        }
    }
    for (sum, members) in blocks {
        let top = sum / count_f64(members.len());
        members.into_iter().for_each(|(at, offset)| places[at].y = top + offset);
    }
}

/// The left edge and the width of each layer.
fn columns(sizes: &[Size], lines: &[Line], layers: &[usize], count: usize) -> Vec<(f64, f64)> {
    let mut x = 0.0;
    let column = |layer: usize| {
        let width = sizes.iter().zip(layers).filter(|(_, at)| **at == layer).map(|(size, _)| size.width);
        let width = width.fold(0.0, f64::max);
        let labels = lines.iter().filter(|line| line.label > 0.0 && layers[line.from] == layer);
        let gap = labels.map(|line| line.label + LABEL_MARGIN).fold(LAYER_GAP, f64::max);
        let left = x;
        x += width + gap;
        (left, width)
    };
    (0..count).map(column).collect()
}

fn draw(sizes: &[Size], lines: &[Line], places: &[Place], chains: &[Vec<usize>], columns: &[(f64, f64)]) -> Layout {
    // In the middle of its layer.
    let left = |at: usize| {
        let (x, width) = columns[places[at].layer];
        x + (width - places[at].size.width) / 2.0
    };
    let at: Vec<(f64, f64)> = (0..sizes.len()).map(|at| (left(at), places[at].y)).collect();
    let through = lines.iter().zip(chains).map(|(_, chain)| {
        let mut points = Vec::with_capacity(chain.len() * 2);
        for (number, place) in chain.iter().enumerate() {
            let (x, width) = match places[*place].size.width {
                // A line passes the whole width of the layer.
                0.0 => columns[places[*place].layer],
                width => (left(*place), width),
            };
            if number > 0 {
                points.push((x, places[*place].centre()));
            }
            if number + 1 < chain.len() {
                points.push((x + width, places[*place].centre()));
            }
        }
        points
    });
    let through = through.collect();
    let width = columns.last().map_or(0.0, |(x, width)| x + width);
    let height = places.iter().map(|place| place.y + place.size.height).fold(0.0, f64::max);
    Layout { at, through, width, height }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOX: Size = Size { width: 100.0, height: 40.0 };

    fn lines(pairs: &[(usize, usize)]) -> Vec<Line> {
        pairs.iter().map(|(from, to)| Line { from: *from, to: *to, label: 0.0 }).collect()
    }

    #[test]
    fn a_chain_is_a_straight_line_to_the_right() {
        let layout = layout(&[BOX; 4], &lines(&[(0, 1), (1, 2), (2, 3)]));
        assert!(layout.at.windows(2).all(|pair| pair[0].0 + BOX.width < pair[1].0 && pair[0].1 == pair[1].1));
        assert_eq!((layout.height, layout.at[3].0 + BOX.width), (40.0, layout.width));
    }

    #[test]
    fn a_tee_stands_in_the_middle_of_its_branches() {
        let layout = layout(&[BOX; 5], &lines(&[(0, 1), (1, 2), (1, 3), (1, 4)]));
        assert!((layout.at[1].1 - layout.at[3].1).abs() < 0.5, "{:?}", layout.at);
        assert!((layout.at[0].1 - layout.at[1].1).abs() < 0.5, "{:?}", layout.at);
        assert!(layout.at[2].1 < layout.at[3].1 && layout.at[3].1 < layout.at[4].1);
    }

    #[test]
    fn labels_get_their_room_and_long_lines_pass_beside_boxes() {
        let long = Line { from: 0, to: 2, label: 90.0 };
        let mut all = lines(&[(0, 1), (1, 2)]);
        all.push(long);
        let layout = layout(&[BOX; 3], &all);
        assert!(layout.at[1].0 - (layout.at[0].0 + BOX.width) >= 90.0);
        let y = layout.through[2][1].1;
        assert!(y < layout.at[1].1 || y > layout.at[1].1 + BOX.height, "{layout:?}");
        assert_eq!(layout.through[2].len(), 4);
    }

    #[test]
    fn what_is_linked_to_nothing_stands_close_to_the_rest() {
        let mut pairs = Vec::new();
        (0..6).for_each(|branch| pairs.push((branch, 6)));
        let layout = layout(&[BOX; 8], &lines(&pairs));
        let lowest = layout.at[..7].iter().map(|(_, y)| *y).fold(0.0, f64::max);
        assert!((layout.at[7].1 - lowest - BOX.height - ROW_GAP).abs() < 0.5, "{:?}", layout.at);
    }

    proptest! {
        #[test]
        fn nothing_overlaps_and_nothing_is_lost(
            count in 1usize..40,
            pairs in proptest::collection::vec((0usize..40, 0usize..40), 0..80),
        ) {
            let pairs: Vec<_> = pairs.into_iter().map(|(a, b)| (a % count, b % count)).collect();
            let layout = layout(&vec![BOX; count], &lines(&pairs));
            prop_assert_eq!(layout.at.len(), count);
            prop_assert_eq!(layout.through.len(), pairs.len());
            for (number, (x, y)) in layout.at.iter().enumerate() {
                prop_assert!(x.is_finite() && y.is_finite() && *x >= 0.0 && *y >= -0.001);
                prop_assert!(x + BOX.width <= layout.width + 0.001 && y + BOX.height <= layout.height + 0.001);
                for (other_x, other_y) in &layout.at[..number] {
                    let apart = (x - other_x).abs() >= BOX.width || (y - other_y).abs() >= BOX.height + ROW_GAP - 0.001;
                    prop_assert!(apart, "{:?} {:?}", (x, y), (other_x, other_y));
                }
            }
        }
    }
}
