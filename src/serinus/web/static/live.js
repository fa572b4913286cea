// Live updates: replaces the parts of the page that changed, and nothing else. Works only with pushes
// from this server; without scripts the page is complete, it just has to be loaded again.
"use strict";
(() => {
  const zone = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      const today = at.toDateString() === new Date().toDateString();
      time.textContent = today ? at.toLocaleTimeString() : at.toLocaleString();
    }
  };
  zone(document);
  const live = document.getElementById("live");
  if (!live || !window.EventSource) return;

  const state = document.createElement("p");
  state.className = "link-state";
  state.setAttribute("role", "status");
  document.body.append(state);
  const korean = document.documentElement.lang === "ko";
  const say = (up) => { state.textContent = up ? (korean ? "● 실시간" : "● live") : (korean ? "○ 다시 연결 중" : "○ reconnecting"); };

  const raw = new Map();
  const remember = (root) => root.querySelectorAll("[data-part]").forEach((p) => raw.set(p.dataset.part, p.outerHTML));

  const adopt = (old, fresh) => {
    const open = [...old.querySelectorAll("details[open][id]")].map((d) => d.id);
    const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    zone(fresh);
    old.replaceWith(fresh);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) fresh.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  };

  const show = (html) => {
    const fresh = new DOMParser().parseFromString(html, "text/html").body;
    const parts = [...fresh.querySelectorAll("[data-part]")];
    const here = [...live.querySelectorAll("[data-part]")].map((p) => p.dataset.part);
    if (parts.map((p) => p.dataset.part).join() !== here.join()) {
      const y = window.scrollY;
      remember(fresh);
      zone(fresh);
      live.replaceChildren(...fresh.childNodes);
      window.scrollTo(0, y);
      return;
    }
    for (const part of parts) {
      const name = part.dataset.part;
      if (raw.get(name) === part.outerHTML) continue;
      raw.set(name, part.outerHTML);
      adopt(live.querySelector(`[data-part="${name}"]`), part);
    }
  };

  const source = new EventSource(live.dataset.live);
  source.onopen = () => say(true);
  source.onerror = () => say(false);
  source.addEventListener("page", (event) => show(event.data));
  window.addEventListener("pagehide", () => source.close());
})();
