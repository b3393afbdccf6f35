/** How the search orders its results: Sphinx's weights, but a name as it was typed comes first, and a chapter before a reference. */

var Scorer = {
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,

  /** The score of [page, title, anchor, description, score, file, kind]. */
  score: ([page, title, , , score, , kind]) => {
    const asked = (new URLSearchParams(location.search).get("q") ?? "").trim();
    const isNamed = kind === "object" && asked !== "" && `.${title}`.endsWith(`.${asked}`);
    return score + (isNamed ? 40 : 0) + (page.startsWith("chapters/") ? 10 : 0);
  },
};
