"use strict";
// Sorts a table by the column whose heading is clicked: numbers first, by value, then words; again to reverse.
const number = cell => parseFloat(cell.textContent.replaceAll(",", "").replace("\u2212", "-"));
for (const heading of document.querySelectorAll("thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = heading.textContent;
  heading.replaceChildren(button);
  button.addEventListener("click", () => {
    const body = heading.closest("table").tBodies[0];
    const column = heading.cellIndex;
    const order = heading.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order);
    const rows = Array.from(body.rows);
    rows.sort((a, b) => {
      const [left, right] = [a.cells[column], b.cells[column]];
      const [x, y] = [number(left), number(right)];
      if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
      const difference = Number.isNaN(x) ? right.textContent.localeCompare(left.textContent) : x - y;
      return order === "ascending" ? difference : -difference;
    });
    body.append(...rows);
  });
}
