/**
 * What is said in the place of what cannot be shown.
 * @param {object} props
 * @param {import("preact").ComponentChildren} props.children
 * @param {boolean} [props.page] whether it has the whole page to itself: then it is read out
 * @param {string} [props.className] of the place that it stands in
 * @param {string} [props.testid]
 * @param {boolean} [props.alert] whether something is wrong
 */
export function Message({ children, page = false, className = "", testid, alert = false }) {
  return (
    <div
      class={page ? "lv-page-message" : `${className} lv-message`}
      data-testid={testid}
      role={alert ? "alert" : page ? "status" : undefined}
    >
      {children}
    </div>
  );
}
