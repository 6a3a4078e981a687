function equal(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true;
  const [mine, theirs] = [numbersOf(one), numbersOf(other)];
  if (!mine || !theirs || mine.length !== theirs.length) return false;
  // By their bits: a NaN is itself.
  for (let place = 0; place < mine.length; place++) if (mine[place] !== theirs[place]) return false;
  return true;
}

function numbersOf(value: unknown): Int32Array | null {
  return value instanceof Float32Array || value instanceof Int32Array
    ? new Int32Array(value.buffer, value.byteOffset, value.length)
    : null;
}

/** What a part was painted from, to tell whether it would look the same: typed arrays are compared by their numbers. */
export class Remembered {
  private parts: unknown[] = [];

  /** Whether all parts are what they were the last time. */
  still(...parts: unknown[]): boolean {
    const same =
      parts.length === this.parts.length && parts.every((part, place) => equal(part, this.parts[place]));
    this.parts = parts;
    return same;
  }
}
