import { useMemo } from "preact/hooks";

import { formatValue } from "../kit/format.js";
import { headReach } from "./attention.js";

const INFERRED =
  "The mask itself is not logged. Taken as masked are the keys before the first and after the last one that any query looks at, and, where no query looks at a later key, the later ones.";

/**
 * How many positions each attention head effectively looks at.
 * @param {{picture: import("./use_picture.js").PictureModel}} props
 */
export function HeadReach({ picture: { values, names, chosen } }) {
  const example = names.indexOf("example");
  const found = useMemo(
    () => headReach(values, names, example >= 0 ? { [example]: chosen[example] ?? 0 } : {}),
    [values, names, chosen],
  );
  if (typeof found === "string") return <p class="lv-reach lv-caption">{found}</p>;
  const most = Math.max(...found.map(({ reach, uniform }) => Math.max(reach, uniform)));
  return (
    <div
      class="lv-reach"
      title="1 / (T · rms²) of a head's scores: 1 where each query looks at a single position, the number of positions where it looks at all of them evenly."
    >
      <table data-testid="head-reach" aria-label="Positions that each head effectively looks at">
        <tbody>
          <tr>
            <th scope="row">head</th>
            {found.map(({ head }) => (
              <th key={head} scope="col">
                {head}
              </th>
            ))}
          </tr>
          <tr>
            <th scope="row">looks at</th>
            {found.map(({ head, reach }) => (
              <td key={head} data-head={head} data-reach={reach}>
                <b>{formatValue(reach)}</b>
                <i class="lv-reach-bar" style={{ width: `${(100 * reach) / most}%` }} />
              </td>
            ))}
          </tr>
        </tbody>
      </table>
      <p class="lv-caption" data-testid="uniform-reach" data-uniform={found[0].uniform}>
        positions, effectively; {formatValue(found[0].uniform)} if all were looked at evenly under
        the mask <span title={INFERRED}>(inferred from scores of 0)</span>
      </p>
    </div>
  );
}
