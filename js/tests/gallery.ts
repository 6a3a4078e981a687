/** Real-looking frames on a page, for looking at: `gallery(scene, element)`. Bundled by hand, not tested. */
import widget from "../src/index";
import { floats, lstmFrame, noise, WAITING } from "./fixture";
import { FakeModel } from "./model";

const odd = () => {
  const frame = lstmFrame({ edited: true });
  if (!("heatmap" in frame)) return frame;
  const view = frame.heatmap.data as DataView;
  const put = (row: number, column: number, value: number) =>
    view.setFloat32((row * 60 + column) * 4, value, true);
  for (let column = 20; column < 30; column++) put(10, column, Number.NaN);
  for (let row = 30; row < 38; row++) put(row, 40, Number.POSITIVE_INFINITY);
  for (let row = 30; row < 38; row++) put(row, 44, Number.NEGATIVE_INFINITY);
  for (let column = 5; column < 12; column++) put(50, column, 1.7);
  for (let column = 5; column < 12; column++) put(54, column, -1.7);
  return frame;
};

const stimuli = () => {
  const random = noise(5);
  const data = [0, 1, 2].flatMap((channel) =>
    Array.from({ length: 240 }, (_, step) =>
      channel === 2 ? Number(step % 60 < 12) : Math.sin(step / (9 + 4 * channel)) + random() * 0.3,
    ),
  );
  return lstmFrame(
    { steps: 240 },
    { tokens: null, inputs: { names: ["motion", "colour", "go cue"], data: floats(data) } },
  );
};

const SCENES = {
  waiting: () => new FakeModel({ _frame: WAITING, _status: { state: "waiting", message: "" } }),
  plain: () => new FakeModel({ _frame: lstmFrame() }),
  edited: () =>
    new FakeModel({
      _frame: lstmFrame({ edited: true }),
      units: [5, 31, 24, 17],
      steps: [20, 28],
      dials: { forget_gate: { kind: "shift", value: 1.5 } },
    }),
  gate: () =>
    new FakeModel({
      _frame: lstmFrame({ edited: true, site: "forget_gate" }),
      units: [17],
      site: "forget_gate",
    }),
  odd: () =>
    new FakeModel({
      _frame: odd(),
      _status: {
        state: "error",
        message: "RuntimeError: mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)",
      },
    }),
  long: () => new FakeModel({ _frame: lstmFrame({ units: 128, steps: 400, edited: true }) }),
  stimuli: () => new FakeModel({ _frame: stimuli() }),
};

declare global {
  interface Window {
    gallery: (scene: keyof typeof SCENES, element: HTMLElement) => FakeModel;
  }
}

window.gallery = (scene, element) => {
  const model = SCENES[scene]();
  widget.render({ model: model.asAnyModel(), el: element });
  return model;
};
