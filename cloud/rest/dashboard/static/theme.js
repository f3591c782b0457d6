// Before anything is painted: light or dark as chosen last; else as the system has it.
(function () {
  var chosen = null;
  try {
    chosen = localStorage.getItem("edgesync.theme");
  } catch (error) {
    /* storage is off: the system's choice it is */
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
