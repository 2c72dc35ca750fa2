# Changes are carried as they come, by sequence number; the switch is made when nothing is left behind.

variable "old_url" {
  type    = string
  default = "http://127.0.0.1:9200"
}

variable "new_url" {
  type    = string
  default = "http://127.0.0.1:9201"
}

variable "live" {
  type    = string
  default = "target"
}

source "elasticsearch" "old" {
  url     = var.old_url
  indices = ["events"]
}

target "opensearch" "new" {
  url     = var.new_url
  barrier = "name" # nobody knows of it before the switch
}

route "symlink" "search" {
  path   = "var/current" # what the pipeline and the application follow; a name or a proxy in earnest
  source = "old.url"
  target = "new.url"
}

migration "events" {
  source = source.elasticsearch.old
  target = target.opensearch.new
  load {
    mode = "reindex" # the bulk, by the new cluster itself; what changes meanwhile is captured
  }
  sync {
    interval = "1s" # between passes of `apply --follow`, and of a gate that waits
  }
  verify {
    level     = "full"
    valid_for = "1h"
  }
}

cutover "events" {
  migrations = [migration.events]
  live       = var.live
  timeout    = "60s"
  gate "lag" {
    max = "5s"
  }
  gate "verified" {}
  quiesce "write_block" {}
  switch {
    routes = [route.symlink.search]
  }
  watch "search_health" {
    url        = var.new_url
    for        = "5s"
    interval   = "1s"
    on_failure = "switch_back"
  }
  fallback {
    reverse       = true
    stale_writers = "report"
    retain        = "14d"
  }
}
