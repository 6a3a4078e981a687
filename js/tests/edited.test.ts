import { describe, expect, it } from "vitest";
import { decode } from "../src/decoding";
import { editedBlocks } from "../src/edited";
import type { FilledFrame, Region, Wire } from "../src/frame";
import { floats, ints, lstmFrame, noise } from "./fixture";
import { mount } from "./mount";

const LINE = 2;

function frameOf(rows: number, columns: number, edited: Region[], order?: number[]) {
  const base = lstmFrame({ units: rows, steps: columns, unit: 0 }, { edited }) as Wire<FilledFrame>;
  const places = order ?? Array.from({ length: rows }, (_, row) => row);
  return {
    ...base,
    order: ints(places),
    heatmap: { ...base.heatmap, data: floats(new Float32Array(rows * columns)) },
  };
}

/** The cells of the regions, one by one. */
function cellsOf(frame: FilledFrame): boolean[][] {
  const { rows, columns, row_factor, column_factor } = frame.heatmap;
  const cells = Array.from({ length: rows }, () => Array.from({ length: columns }, () => false));
  for (const { units, steps } of frame.edited)
    frame.order.forEach((unit, place) => {
      if (units && !units.includes(unit)) return;
      for (let step = 0; step < frame.steps; step++)
        if (!steps || steps.some(([start, stop]) => step >= start && step < stop))
          cells[Math.floor(place / row_factor)]![Math.floor(step / column_factor)] = true;
    });
  return cells;
}

/** What a pixel has to be: in the accent colour if it lies outside the edited cells, and within a line of them. */
function wanted(cells: boolean[][], width: number, height: number): boolean[] {
  const [rows, columns] = [cells.length, cells[0]!.length];
  const edges = (count: number, size: number) => (index: number) => Math.round((index / count) * size);
  const [x, y] = [edges(columns, width), edges(rows, height)];
  const inside = new Array<boolean>(width * height).fill(false);
  const near = new Array<boolean>(width * height).fill(false);
  const fill = (into: boolean[], left: number, right: number, top: number, bottom: number) => {
    for (let row = Math.max(0, top); row < Math.min(height, bottom); row++)
      into.fill(true, row * width + Math.max(0, left), row * width + Math.min(width, right));
  };
  cells.forEach((line, row) => {
    line.forEach((edited, column) => {
      if (!edited) return;
      const [left, right, top, bottom] = [x(column), x(column + 1), y(row), y(row + 1)];
      fill(near, left - LINE, right + LINE, top - LINE, bottom + LINE);
      fill(
        inside,
        left === 0 ? LINE : left,
        right === width ? width - LINE : right,
        top === 0 ? LINE : top,
        bottom === height ? height - LINE : bottom,
      );
    });
  });
  return near.map((is, at) => is && !inside[at]);
}

/** The lines of several edits, each inside the ones before it. */
function nested(frames: FilledFrame[], width: number, height: number): boolean[] {
  const lines = frames.map((frame) => wanted(cellsOf(frame), width, height));
  return lines[0]!.map((_, at) => lines.some((line) => line[at]));
}

function accent(root: HTMLElement): number[] {
  const probe = document.createElement("span");
  probe.style.color = "var(--rw-accent)";
  root.append(probe);
  const context = document.createElement("canvas").getContext("2d")!;
  context.fillStyle = getComputedStyle(probe).color;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

async function paintedAndWanted(wire: Wire<FilledFrame>): Promise<[boolean[], boolean[]]> {
  const { find, root } = await mount({ _frame: wire });
  const canvas = find<HTMLCanvasElement>(".rnnwidget-outlines");
  const color = accent(root);
  const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
  const painted = Array.from(
    { length: canvas.width * canvas.height },
    (_, at) =>
      data[at * 4 + 3] === 255 &&
      color.every((channel, band) => Math.abs(channel - data[at * 4 + band]!) < 8),
  );
  return [painted, wanted(cellsOf(decode(wire) as FilledFrame), canvas.width, canvas.height)];
}

const CASES: [string, Region[]][] = [
  ["rows", [{ units: [2, 5], steps: null }]],
  ["columns", [{ units: null, steps: [[3, 5]] }]],
  [
    "cells",
    [
      {
        units: [1, 2],
        steps: [
          [0, 1],
          [4, 6],
        ],
      },
    ],
  ],
  [
    "overlapping edits as one",
    [
      { units: [1, 2], steps: [[2, 6]] },
      { units: [2, 3, 4], steps: [[5, 8]] },
    ],
  ],
  [
    "neighbours as one",
    [
      { units: [3], steps: [[2, 4]] },
      { units: [3], steps: [[4, 7]] },
    ],
  ],
  ["everything", [{ units: null, steps: null }]],
  ["nothing", []],
];

describe("edited cells", () => {
  it.each(CASES)("are outlined to the pixel: %s", async (_, edited) => {
    const [painted, expected] = await paintedAndWanted(frameOf(8, 10, edited, [3, 0, 7, 1, 2, 6, 5, 4]));
    const wrong = painted.flatMap((is, at) => (is === expected[at] ? [] : [at]));
    expect(wrong).toEqual([]);
  });

  const ALL: Region = { units: null, steps: null };
  const CELLS: Region = { units: [0, 3], steps: [[4, 8]] };

  it.each<[string, Region[]]>([
    ["cells in everything", [ALL, CELLS]],
    ["everything after its cells", [CELLS, ALL]],
    [
      "cells in a row",
      [
        { units: [3], steps: null },
        { units: [3], steps: [[4, 8]] },
      ],
    ],
    [
      "cells in columns in everything",
      [{ units: [5], steps: [[4, 6]] }, { units: null, steps: [[3, 8]] }, ALL],
    ],
  ])("have lines of their own inside a wider edit: %s", async (_, edited) => {
    const wire = frameOf(8, 10, edited, [3, 0, 7, 1, 2, 6, 5, 4]);
    const [painted] = await paintedAndWanted(wire);
    const alone = edited.map((region) => decode({ ...wire, edited: [region] }) as FilledFrame);
    const canvas = document.querySelector<HTMLCanvasElement>(".rnnwidget-outlines")!;
    const expected = nested(alone, canvas.width, canvas.height);
    expect(painted.flatMap((is, at) => (is === expected[at] ? [] : [at]))).toEqual([]);
  });

  it("are outlined where rows are one pixel thin", async () => {
    const [painted, expected] = await paintedAndWanted(
      frameOf(300, 12, [{ units: [40, 41, 200], steps: [[2, 5]] }]),
    );
    expect(painted).toEqual(expected);
  });

  it("are the cells of the regions, whatever those are", () => {
    const random = noise(11);
    const draw = (count: number) => Math.floor((random() + 0.5) * count);
    for (let round = 0; round < 60; round++) {
      const edited = Array.from({ length: draw(4) }, (): Region => {
        const start = draw(11);
        const units = draw(3) === 0 ? null : Array.from({ length: draw(4) }, () => draw(8));
        return { units, steps: draw(3) === 0 ? null : [[start, start + 1 + draw(12 - start)]] };
      });
      const [row_factor, column_factor] = [1 + draw(2), 1 + draw(3)];
      const [rows, columns] = [Math.ceil(8 / row_factor), Math.ceil(12 / column_factor)];
      const base = decode(lstmFrame({ units: 8, steps: 12, unit: 0 }, { edited })) as FilledFrame;
      const frame = { ...base, heatmap: { ...base.heatmap, rows, columns, row_factor, column_factor } };
      const found = Array.from({ length: rows }, () => Array.from({ length: columns }, () => false));
      for (const block of editedBlocks(frame))
        for (let row = block.rows[0]; row < block.rows[1]; row++)
          for (let column = block.columns[0]; column < block.columns[1]; column++) found[row]![column] = true;
      expect(found).toEqual(cellsOf(frame));
    }
  });

  it("are marked beside their rows", async () => {
    const { find, root } = await mount({ _frame: frameOf(8, 10, [{ units: [2], steps: [[3, 4]] }]) });
    const canvas = find<HTMLCanvasElement>(".rnnwidget-markers");
    const color = accent(root);
    const rows = Array.from({ length: 8 }, (_, row) => {
      const y = Math.floor(((row + 0.5) / 8) * canvas.height);
      const pixel = canvas.getContext("2d")!.getImageData(canvas.width - 2, y, 1, 1).data;
      return pixel[3] === 255 && color.every((channel, band) => Math.abs(channel - pixel[band]!) < 8);
    });
    expect(rows).toEqual([false, false, true, false, false, false, false, false]);
  });
});
