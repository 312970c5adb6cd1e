// Comfort only: every function of the page works without this file.
"use strict";

// A form or a link that takes a while says so, and a form is sent once.
function busy(form) {
  const button = form.querySelector("button:not([formmethod])");
  const status = form.querySelector(".working");
  form.dataset.sent = "yes";
  button.setAttribute("aria-disabled", "true");
  if (status) status.textContent = form.dataset.busy;
}

function ready(form) {
  delete form.dataset.sent;
  form.querySelector("button:not([formmethod])").removeAttribute("aria-disabled");
  const status = form.querySelector(".working");
  if (status) status.textContent = "";
}

for (const form of document.querySelectorAll("form[data-busy]")) {
  form.addEventListener("submit", (event) => {
    if (event.submitter && event.submitter.formMethod === "dialog") return;
    if (form.dataset.sent) event.preventDefault();
    else busy(form);
  });
}

// The page comes back from the browser's history as it was left: nothing is busy any more.
window.addEventListener("pageshow", () => {
  document.querySelectorAll("form[data-busy]").forEach(ready);
});

// The rollback's confirmation as a dialog in place of a page of its own.
const dialog = document.querySelector("#rollback");
if (dialog && dialog.showModal) {
  for (const opener of document.querySelectorAll("[data-rollback]")) {
    opener.setAttribute("role", "button");
    opener.setAttribute("aria-haspopup", "dialog");
    const open = (event) => {
      event.preventDefault();
      dialog.querySelector("[name=to]").value = opener.dataset.rollback;
      dialog.querySelector("[data-target]").textContent = opener.dataset.rollback.slice(0, 12);
      dialog.showModal();
      dialog.querySelector("textarea").focus();
    };
    opener.addEventListener("click", open);
    opener.addEventListener("keydown", (event) => { if (event.key === " ") open(event); });
  }
}
