export interface Label {
  step: number;
  centre: number;
  width: number;
}

export interface PlacedLabel {
  step: number;
  left: number;
}

/** Labels at their columns, taken in the order given, each only where it overlaps none before it. */
export function placeLabels(labels: Iterable<Label>, width: number, gap = 6): PlacedLabel[] {
  const placed: { step: number; left: number; right: number }[] = [];
  for (const label of labels) {
    const left = Math.min(Math.max(0, label.centre - label.width / 2), Math.max(0, width - label.width));
    const right = left + label.width;
    if (placed.every((other) => right + gap <= other.left || left >= other.right + gap))
      placed.push({ step: label.step, left, right });
  }
  return placed;
}

/** The cursor first, then its neighbours outward, then every step from the left. */
export function* aroundFirst(cursor: number, steps: number, reach: number): Generator<number> {
  const seen = new Set<number>();
  const fresh = (step: number) => step >= 0 && step < steps && !seen.has(step) && seen.add(step);
  for (let distance = 0; distance <= reach; distance++)
    for (const step of [cursor - distance, cursor + distance]) if (fresh(step)) yield step;
  for (let step = 0; step < steps; step++) if (fresh(step)) yield step;
}

/** Heights moved apart by at least `gap`, in their order, kept inside [low, high] where they fit. */
export function spread(heights: number[], gap: number, low: number, high: number): number[] {
  const order = heights.map((_, index) => index).sort((a, b) => heights[a]! - heights[b]!);
  const moved = [...heights];
  let floor = low;
  for (const index of order) {
    moved[index] = Math.max(moved[index]!, floor);
    floor = moved[index]! + gap;
  }
  let ceiling = high;
  for (const index of order.reverse()) {
    moved[index] = Math.min(moved[index]!, ceiling);
    ceiling = moved[index]! - gap;
  }
  return moved;
}

/** The same, without those that would come to stand farther than a `gap` from their own height: the last go first. */
export function spreadNear<T extends { height: number }>(
  items: readonly T[],
  gap: number,
  low: number,
  high: number,
): (T & { place: number })[] {
  const places = spread(
    items.map(({ height }) => height),
    gap,
    low,
    high,
  );
  const far = items.findLastIndex(({ height }, index) => Math.abs(places[index]! - height) > gap);
  if (far > 0) return spreadNear(items.toSpliced(far, 1), gap, low, high);
  return items.map((item, index) => ({ ...item, place: places[index]! }));
}
