/** The ripple as Python sends it: after − before of every layer, quantised, the lowest layer first. */

export interface Band {
  name: string;
  label: string;
  reverse: boolean;
  units: number;
  rows: number;
  columns: number;
  row_factor: number;
  column_factor: number;
  order: Int32Array;
  /** ±32767 is ± the ripple's limit, −32768 a value that is not finite. */
  data: Int16Array;
  /** The largest finite |Δ|; null where nothing can be compared. */
  most: number | null;
  /** First row, row after the last, first step, step after the last; rows before pooling. */
  edited: [number, number, number, number][];
}

export interface Ripple {
  state: string;
  states: string[];
  limit: number;
  steps: number;
  bands: Band[];
  /** Layers that run over other steps. */
  left_out: string[];
  /** Steps of the changed input that the input before does not have. */
  unmatched: number;
}

type Bytes = DataView | ArrayBuffer | Uint8Array;

export type WireBand = Omit<Band, "order" | "data"> & { order: Bytes; data: Bytes };
export type WireRipple = Omit<Ripple, "bands"> & { bands: WireBand[] };

const FULL = 32767;

/** The bytes on a boundary of their own, whatever the host handed over. */
function copied(bytes: Bytes): ArrayBuffer {
  if (bytes instanceof ArrayBuffer) return bytes;
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength).slice().buffer;
}

export function decodeRipple(wire: WireRipple | null | undefined): Ripple | null {
  if (!wire) return null;
  const bands = wire.bands.map((band) => {
    const data = new Int16Array(copied(band.data));
    if (data.length !== band.rows * band.columns)
      throw new Error(`ripple ${band.name}: ${data.length} values where ${band.rows * band.columns} belong`);
    return { ...band, data, order: new Int32Array(copied(band.order)) };
  });
  return { ...wire, bands };
}

/** A cell's value; NaN where it is not finite. */
export function valueAt(band: Band, limit: number, row: number, column: number): number {
  const share = band.data[row * band.columns + column]!;
  return share < -FULL ? Number.NaN : (share / FULL) * limit;
}

/** Where a value stands on the colour scale: by its square root, so that what a change becomes later shows too. */
export function onColorScale(value: number, limit: number): number {
  return Math.sign(value) * Math.sqrt(Math.abs(value) * limit);
}

/** The cells as colours need them, no more than there are pixels; each is the value farthest from zero. */
export function strongestCells(band: Band, limit: number, rows: number, columns: number) {
  const grid = { rows: Math.min(rows, band.rows), columns: Math.min(columns, band.columns) };
  const values = new Float32Array(grid.rows * grid.columns);
  for (let row = 0; row < band.rows; row++)
    for (let column = 0; column < band.columns; column++) {
      const value = valueAt(band, limit, row, column);
      const at =
        Math.floor((row * grid.rows) / band.rows) * grid.columns +
        Math.floor((column * grid.columns) / band.columns);
      const known = values[at]!;
      if (Number.isNaN(value) || (!Number.isNaN(known) && Math.abs(value) > Math.abs(known)))
        values[at] = value;
    }
  return { ...grid, values: values.map((value) => onColorScale(value, limit)) };
}

/** The largest change of a layer at a step; null where there is nothing to compare. */
export function mostAt(band: Band, { limit }: Ripple, step: number): number | null {
  const column = Math.floor(step / band.column_factor);
  const changes = Array.from({ length: band.rows }, (_, row) => Math.abs(valueAt(band, limit, row, column)));
  const known = changes.filter((change) => !Number.isNaN(change));
  return known.length > 0 ? Math.max(...known) : null;
}
