import { Popover } from "../kit/Popover.jsx";

/** What opens it. */
export const KEYS_TEST_ID = "keys";

/** @type {[string[], string][]} */
const KEYS = [
  [["←", "→"], "the step before, the next one"],
  [["Page Up", "Page Down"], "ten steps back, ten on"],
  [["Home", "End"], "the first step, the last one"],
  [["Space"], "play, pause"],
  [["f"], "compare with the first step, or no more"],
  [["g"], "from the network to the map, and back"],
  [["n", "Shift + n"], "the next step at which something is found, the one before"],
  [["/"], "filter the layers of the map"],
  [["↑", "↓", "Enter"], "in a list of layers: up, down, open"],
  [["Esc"], "close what was opened last"],
  [["?"], "these keys"],
];

/** All keys that the tab knows. */
export function Keys() {
  return (
    <span class="lv-keys">
      <Popover
        testid={KEYS_TEST_ID}
        buttonClass="lv-button"
        label="Keys"
        title="All keys (?)"
        button="Keys"
      >
        <dl>
          {KEYS.map(([keys, meaning]) => (
            <div key={meaning}>
              <dt>
                {keys.map((key) => (
                  <kbd key={key}>{key}</kbd>
                ))}
              </dt>
              <dd>{meaning}</dd>
            </div>
          ))}
        </dl>
      </Popover>
    </span>
  );
}
