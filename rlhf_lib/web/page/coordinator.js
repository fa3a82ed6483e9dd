// The coordinator's page: the state of the study, every ten seconds, and downloads.

const EVERY = 10000; // ms
const DOWNLOADS = ["answers.csv", "answers.json", "raters.json", "preferences.zip"];
const part = (selector) => document.querySelector(selector);
// After the # of the address, the key is not sent to the server in it, nor written to its log.
let key = location.hash.slice(1) || sessionStorage.getItem("rlhf-coordinator") || "";

async function request(path) {
  const response = await fetch(path, { headers: { Authorization: `Bearer ${key}` }, cache: "no-store" });
  if (!response.ok) throw new Error(response.status === 403 ? "The key is not right." : response.status);
  return response;
}

function cell(kind, value) {
  const made = document.createElement(kind);
  made.textContent = typeof value === "object"
    ? Object.entries(value).map(([name, one]) => `${name}: ${one}`).join(", ")
    : value;
  return made;
}

const figure = ({ value }) => (value === null ? "unknown" : value.toFixed(2));

function row(kind, values) {
  const made = document.createElement("tr");
  made.append(...values.map((value) => cell(kind, value)));
  return made;
}

function show({ raters, answers, pairs, agreement, "not of this study": others }) {
  part("#summary").textContent =
    `${answers} answers of ${raters.length} raters. ${pairs.answered} of ${pairs["asked about"]} pairs `
    + `have an answer, ${pairs["still needed"]} still need one. Agreement on `
    + `${agreement.n_shared_pairs} shared pairs: ${figure(agreement.agreement)}, Krippendorff's alpha `
    + `${figure(agreement.krippendorff_alpha_ordinal)}.`
    + (others.length ? ` Other raters in the folder: ${others.join(", ")}.` : "");
  part("thead").replaceChildren(row("th", raters.length ? Object.keys(raters[0]) : []));
  part("tbody").replaceChildren(...raters.map((one) => row("td", Object.values(one))));
}

async function update() {
  try {
    show(await (await request("/overview")).json());
    sessionStorage.setItem("rlhf-coordinator", key);
    part("#message").textContent = "";
    part("#sign-in").hidden = true;
    part("#found").hidden = false;
    setTimeout(update, EVERY);
  } catch (error) {
    part("#message").textContent = key ? error.message : "";
    part("#sign-in").hidden = false;
  }
}

async function save(name) {
  const address = URL.createObjectURL(await (await request(`/download/${name}`)).blob());
  const link = document.createElement("a");
  Object.assign(link, { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

for (const name of DOWNLOADS) {
  const button = document.createElement("button");
  button.textContent = name;
  button.addEventListener("click", () => save(name));
  part("#downloads").append(button);
}
part("#sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  key = part("#key").value.trim();
  update();
});
update();
