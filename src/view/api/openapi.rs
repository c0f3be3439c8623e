//! `/openapi.json`: the API's description, derived from the types that answer and read it.

use utoipa::OpenApi;

use super::routes;

/// The document's list of paths; the schemas follow from them.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "ringside",
        description = "Every container's counters, every second, with hours of memory. Base units: seconds, bytes, \
            cores, ratios from 0 to 1. What is not known is null, never 0; a limit that is not set is null beside \
            `unlimited: true`. A counter that went back gives no rate for that interval.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        routes::get_diff,
        routes::get_ring,
        routes::get_node,
        routes::get_node_history,
        routes::get_containers,
        routes::get_container,
        routes::get_container_history,
        routes::get_history,
        routes::get_pods,
        routes::get_metrics,
        crate::view::remote::export,
        crate::view::remote::read,
    ),
    tags(
        (name = "node", description = "The machine"),
        (name = "containers", description = "Containers and other cgroups"),
        (name = "pods", description = "Kubernetes pods"),
        (name = "history", description = "Any metric over time"),
    ),
)]
struct Document;

/// The document.
pub(super) fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// Every documented path.
pub(super) fn paths() -> Vec<String> {
    document().paths.paths.into_keys().collect()
}
