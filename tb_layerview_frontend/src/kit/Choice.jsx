/**
 * One of a few values.
 * @param {object} props
 * @param {import("@preact/signals").Signal<string>} props.field of the view's state
 * @param {string} props.label
 * @param {string} props.testid
 * @param {Record<string, string>} props.options what each value is called
 * @param {string} [props.title] the label, if nothing more is to be said
 * @param {string} [props.className]
 * @param {(value: string) => void} [props.onChoose] where there is more to do than to set the field
 */
export function Choice(props) {
  const { field, label, testid, options, title = label, className = "lv-panel-choice" } = props;
  const { onChoose = (value) => (field.value = value) } = props;
  return (
    <select
      class={className}
      data-testid={testid}
      aria-label={label}
      title={title}
      value={field.value}
      onChange={(event) => onChoose(event.currentTarget.value)}
    >
      {Object.entries(options).map(([value, text]) => (
        <option key={value} value={value}>
          {text}
        </option>
      ))}
    </select>
  );
}
