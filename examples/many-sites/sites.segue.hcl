# Several trees, each with a link of its own, moved one after the other by one spec.

variable "sites" {
  description = "Name of each site, and the command that pauses, resumes and probes its application"
  type        = map(string)
  default = {
    shop = "/srv/shop/app"
    wiki = "/srv/wiki/app"
  }
}

variable "live" {
  description = "The side that shall serve: target, or source to go back"
  type        = string
  default     = "target"
  validation {
    condition     = contains(["source", "target"], var.live)
    error_message = "live is source or target"
  }
}

locals {
  roots = { for name, app in var.sites : name => dirname(app) }
}

source "directory" "old" {
  for_each = var.sites
  path     = "${local.roots[each.key]}/data-old"
}

target "directory" "new" {
  for_each = var.sites
  path     = "${local.roots[each.key]}/data-new"
}

route "symlink" "data" {
  for_each = var.sites
  path     = "${local.roots[each.key]}/data"
  source   = "data-old"
  target   = "data-new"
}

migration "data" {
  for_each = var.sites
  source   = source.directory.old[each.key]
  target   = target.directory.new[each.key]
  load {
    parallelism = 2
    rate_limit  = "50MiB/s"
  }
  sync {
    interval = "1m"
  }
  verify {
    level       = "sampled"
    on_mismatch = "repair"
  }
}

cutover "data" {
  for_each   = var.sites
  migrations = [migration.data[each.key]]
  live       = var.live
  gate "downtime" {
    max = "5s"
    # What nobody measured before the first of them has switched.
    assume = { drain = "500ms", route = "100ms", open = "500ms" }
  }
  gate "approval" {}
  quiesce "command" {
    stop  = [each.value, "pause"]
    start = [each.value, "resume"]
    probe = [each.value, "try-write"]
  }
  switch {
    routes = [route.symlink.data[each.key]]
  }
  fallback {
    reverse       = true
    stale_writers = "report"
    retain        = "14d"
  }
}

output "links" {
  value = [for name, root in local.roots : "${name}: ${root}/data"]
}
