// The addresses are relative, so that the page works below any prefix a proxy puts before it.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
});

// Swagger UI has dark colours, but leaves it to the page when to use them.
const dark = matchMedia("(prefers-color-scheme: dark)");
const followSystem = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", followSystem);
followSystem();
