/**
 * One of a few values of a field of the view's state.
 * @param {object} props
 * @param {import("@preact/signals").Signal<string>} props.field of the view's state
 * @param {string} props.label
 * @param {string} props.testid
 * @param {Record<string, string>} props.options
 */
export function Choice({ field, label, testid, options }) {
  return (
    <select
      class="lv-panel-choice"
      data-testid={testid}
      aria-label={label}
      title={label}
      value={field.value}
      onChange={(event) => {
        field.value = event.currentTarget.value;
      }}
    >
      {Object.entries(options).map(([value, text]) => (
        <option key={value} value={value}>
          {text}
        </option>
      ))}
    </select>
  );
}
