// A button on every cell of code, which copies it; from a file, too, where there is no clipboard to ask for.
async function copyCode(code, button) {
  try {
    await navigator.clipboard.writeText(code.textContent.trimEnd());
  } catch {
    getSelection().selectAllChildren(code);
    document.execCommand("copy");
    getSelection().removeAllRanges();
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}
addEventListener("DOMContentLoaded", () => document.querySelectorAll(".cell_input pre").forEach((code) => {
  const button = document.createElement("button");
  button.textContent = "Copy";
  button.type = "button";
  button.className = "course-copy";
  button.title = "Copy this code";
  button.addEventListener("click", () => copyCode(code, button));
  code.parentElement.append(button);
}));
