window.fetch = (address) =>
  Promise.resolve({ text: () => Promise.resolve(courseTexts[String(address).split("/").pop()] ?? "") });
