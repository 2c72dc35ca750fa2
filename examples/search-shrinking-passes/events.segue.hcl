# Passes while everything goes on, each smaller than the one before; writes pause for the last one alone.

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
    parallelism = 4
    rate_limit  = "50MiB/s" # the old cluster has searches to answer
  }
  verify {
    level       = "full"
    on_mismatch = "repair"
  }
}

cutover "events" {
  migrations = [migration.events]
  live       = var.live
  timeout    = "60s"
  gate "downtime" {
    max    = "30s" # predicted from what the passes took, and from what nobody measured before the first switch
    assume = { drain = "1s", route = "100ms", open = "1s" }
  }
  quiesce "write_block" {}
  switch {
    routes = [route.symlink.search]
  }
  fallback {
    reverse       = true
    stale_writers = "report" # the block of an index stops Segue too: it is lifted for the way back
  }
}
