/**
 * What a picture shows, as a table for those who do not see it.
 * @param {object} props
 * @param {string} props.caption
 * @param {string[]} props.head
 * @param {(string | number)[][]} props.rows the first cell of each names it
 * @param {string} [props.testid]
 */
export function WordsTable({ caption, head, rows, testid }) {
  return (
    <div class="lv-words">
      <table data-testid={testid}>
        <caption>{caption}</caption>
        <thead>
          <tr>
            {head.map((text) => (
              <th key={text} scope="col">
                {text}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(([first, ...rest], row) => (
            <tr key={row}>
              <th scope="row">{first}</th>
              {rest.map((text, i) => (
                <td key={i}>{text}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
