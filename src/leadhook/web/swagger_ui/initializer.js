// https://swagger.io/docs/open-source-tools/swagger-ui/usage/configuration/
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  // Schemas are shown with each request and answer; the list at the end of the page starts closed.
  defaultModelsExpandDepth: 0,
  // The default sends the document to validator.swagger.io.
  validatorUrl: null,
});
