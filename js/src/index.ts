import type { RenderProps } from "@anywidget/types";
import { Link, type Traits } from "./link";
import { Score } from "./score";
import "./score.css";

type Props = Pick<RenderProps<Traits>, "model" | "el"> & { signal?: AbortSignal };

export default {
  render({ model, el, signal }: Props): () => void {
    const controller = new AbortController();
    const link = new Link(model, controller.signal);
    const score = new Score(link, controller.signal);
    controller.signal.addEventListener("abort", () => score.root.remove());
    const stop = () => controller.abort();
    signal?.addEventListener("abort", stop, { signal: controller.signal });
    el.append(score.root);
    score.start();
    return stop;
  },
};
