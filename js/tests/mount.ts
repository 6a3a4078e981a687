import { expect, onTestFinished } from "vitest";
import type { WireFrame } from "../src/frame";
import widget from "../src/index";
import type { Traits } from "../src/link";
import { lstmFrame } from "./fixture";
import { FakeModel } from "./model";

export interface Mounted {
  model: FakeModel;
  root: HTMLElement;
  element: HTMLElement;
  controller: AbortController;
  find<T extends HTMLElement = HTMLElement>(selector: string): T;
  /** Shows a frame from Python and waits until it is on the page. */
  show(frame: WireFrame): Promise<void>;
  painted(version: number): Promise<void>;
}

/** A view on the page, painted once and echoed, removed after the test. */
export async function mount(
  traits: Partial<Traits> = {},
  { width = 1000, model = new FakeModel({ _frame: lstmFrame(), ...traits }), className = "" } = {},
): Promise<Mounted> {
  const element = document.createElement("div");
  element.style.width = `${width}px`;
  element.className = className;
  document.body.append(element);
  const controller = new AbortController();
  onTestFinished(() => {
    controller.abort();
    element.remove();
  });
  widget.render({ model: model.asAnyModel(), el: element, signal: controller.signal });
  const root = element.querySelector<HTMLElement>(".rnnwidget")!;
  const find = <T extends HTMLElement = HTMLElement>(selector: string) => {
    const found = root.querySelector<T>(selector);
    if (!found) throw new Error(`nothing matches ${selector}`);
    return found;
  };
  const painted = (version: number) => expect.poll(() => root.dataset.drawn).toBe(String(version));
  const show = async (frame: WireFrame) => {
    model.show(frame);
    await painted(frame.version);
  };
  const frame = model.get("_frame");
  if ("version" in frame) await painted(frame.version);
  await expect.poll(() => model.settled || root.dataset.state === "closed").toBe(true);
  return { model, root, element, controller, find, show, painted };
}

export const HEATMAP = ".rnnwidget-heatmap canvas[role=img]";

/** Device pixels of a canvas as [r, g, b] at a cell's centre, for a grid of so many rows and columns. */
export function pixelAt(
  canvas: HTMLCanvasElement,
  rows: number,
  columns: number,
  row: number,
  column: number,
): number[] {
  const x = Math.floor(((column + 0.5) / columns) * canvas.width);
  const y = Math.floor(((row + 0.5) / rows) * canvas.height);
  return [...canvas.getContext("2d")!.getImageData(x, y, 1, 1).data.slice(0, 3)];
}

/** A real pointer event at a share of an element's box. */
export function point(
  target: HTMLElement,
  type: string,
  across: number,
  down = 0.5,
  init: PointerEventInit = {},
): void {
  const box = target.getBoundingClientRect();
  const at = { clientX: box.left + across * box.width, clientY: box.top + down * box.height };
  target.dispatchEvent(
    new PointerEvent(type, { bubbles: true, cancelable: true, pointerId: 1, button: 0, ...at, ...init }),
  );
}

export const nextFrame = () => new Promise((resolve) => requestAnimationFrame(() => resolve(undefined)));
