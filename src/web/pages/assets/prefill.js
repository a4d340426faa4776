// Live pages: asks for the same page again and puts in what changed. Everything works without this.
(() => {
  "use strict";
  const main = document.getElementById("main");
  const said = document.getElementById("said");
  const offline = document.getElementById("offline");
  const SLOWEST = 30;
  // Seconds between two looks while a stream tells of changes: of what it does not tell.
  const BESIDE_STREAM = 10;
  let failures = 0;
  let timer;
  let looking = false;
  let changed = false;

  // A link or a button is the same one when it says the same and leads to the same place.
  const key = (element) =>
    [element.tagName, element.id, element.getAttribute("href") || element.textContent.trim(),
      element.form ? element.form.getAttribute("action") : ""].join("|");
  // What the server sent last of each part; what is added here is no part of that.
  const sent = new WeakMap();

  // Somebody fills in a form, has selected something, or reads what was unfolded: that part stays as it is.
  const isSelected = (part) => {
    const selection = document.getSelection();
    return selection !== null && !selection.isCollapsed && selection.containsNode(part, true);
  };
  const isInUse = (part) =>
    isSelected(part) ||
    part.querySelector("details[open]") !== null ||
    (part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea"));

  function put(part, fresh) {
    if (sent.get(part) === fresh.innerHTML || isInUse(part)) return;
    sent.set(part, fresh.innerHTML);
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const wanted = focused && focused !== part ? key(focused) : null;
    const scrolled = [...part.querySelectorAll(".scrolls")].map((box) => box.scrollLeft);
    const announced = part.querySelector("[data-say]");
    const before = announced && announced.textContent;
    part.innerHTML = fresh.innerHTML;
    part.hidden = fresh.hidden;
    part.querySelectorAll(".scrolls").forEach((box, index) => { box.scrollLeft = scrolled[index] || 0; });
    if (wanted) {
      const same = [...part.querySelectorAll("a, button, summary, [tabindex]")].find((element) => key(element) === wanted);
      (same || main).focus({ preventScroll: true });
    }
    const announces = part.querySelector("[data-say]");
    if (announces && announces.textContent !== before) said.textContent = announces.textContent;
    if (part.matches("[data-grid]")) grid(part);
    commands(part);
  }

  async function look() {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    // The token is not known any more.
    if (answer.redirected) { location.reload(); return; }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const freshMain = fresh.getElementById("main");
    // It is another kind of page now: an error, or the end of one.
    const kind = (of) => of.querySelector("#problem") !== null;
    if (!freshMain || kind(freshMain) !== kind(main)) { location.reload(); return; }
    for (const part of document.querySelectorAll("[data-live]")) {
      const of = part.id && fresh.getElementById(part.id);
      if (of) put(part, of);
    }
    main.dataset.every = freshMain.dataset.every || "";
  }

  async function lookNow() {
    clearTimeout(timer);
    if (looking) { changed = true; return; }
    looking = true;
    try {
      await look();
      failures = 0;
    } catch {
      failures += 1;
    }
    looking = false;
    offline.hidden = failures < 2;
    const again = changed;
    changed = false;
    next(again ? 1 : undefined);
  }

  function next(soon) {
    const every = soon || (stream && stream.readyState === EventSource.OPEN ? BESIDE_STREAM : Number(main.dataset.every));
    if (!every) return;
    timer = setTimeout(() => {
      if (document.visibilityState === "visible") lookNow();
      else next();
    }, Math.min(SLOWEST, every * 2 ** failures) * 1000);
  }

  // Where the server tells of changes, the page is asked for when there is one. A browser has few connections to
  // a server, for all its tabs: one that is not seen gives its own back.
  let stream = null;
  function listen() {
    if (stream) { stream.close(); stream = null; }
    if (!main.dataset.events || document.visibilityState !== "visible") return;
    stream = new EventSource(main.dataset.events);
    stream.addEventListener("standing", lookNow);
  }
  document.addEventListener("visibilitychange", listen);
  window.addEventListener("pagehide", () => { if (stream) stream.close(); });

  // A table of many links is one stop for the Tab key; arrows go from cell to cell.
  function grid(table) {
    const rows = () => [...table.rows].map((row) => [...row.querySelectorAll("a")]).filter((row) => row.length);
    rows().forEach((row) => row.slice(1).forEach((link) => { link.tabIndex = -1; }));
  }
  document.addEventListener("keydown", (event) => {
    const table = event.target.closest && event.target.closest("[data-grid]");
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const step = steps[event.key];
    if (!table || !step || event.target.tagName !== "A") return;
    const rows = [...table.rows].map((row) => [...row.querySelectorAll("a")]).filter((row) => row.length);
    const row = rows.findIndex((links) => links.includes(event.target));
    const to = rows[row + step[0]] && rows[row + step[0]][rows[row].indexOf(event.target) + step[1]];
    if (to) { event.preventDefault(); to.focus(); }
  });

  // A command can be copied.
  function commands(part) {
    if (!navigator.clipboard) return;
    for (const code of part.querySelectorAll("code.command")) {
      if (code.nextElementSibling && code.nextElementSibling.matches(".copy")) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.setAttribute("aria-label", "Copy " + code.textContent);
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
        said.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
      });
      code.after(button);
    }
  }

  document.querySelectorAll("[data-live]").forEach((part) => { sent.set(part, part.innerHTML); });
  document.querySelectorAll("[data-grid]").forEach(grid);
  // What was done is told once, not after each reload.
  const here = new URL(location.href);
  if (here.searchParams.has("said")) {
    here.searchParams.delete("said");
    history.replaceState(null, "", here);
  }
  commands(main);
  listen();
  next();
})();
