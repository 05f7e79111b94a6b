/** What a lane says of its layer, or its block. */

import { formatCount, formatShape } from "../kit/format.js";
import { isBlock } from "./lanes.js";

/**
 * @param {import("../data/run.js").Run} run
 * @param {import("./lanes.js").Lane | import("./lanes.js").Block} part
 */
export function factsOf(run, part) {
  if (isBlock(part)) return `${formatCount(part.lanes.length)} layers`;
  const shape = part.tensor >= 0 ? run.info.tensors[part.tensor].shape : [];
  // The first axis is the examples'.
  const own = shape.length > 1 ? formatShape(shape.slice(1)) : "";
  const calls = part.calls > 1 ? `${part.calls} calls` : "";
  const folder = part.path.slice(0, Math.max(0, part.path.lastIndexOf("/")));
  return [own, calls, folder].filter(Boolean).join(" · ") || part.className;
}
