namespace ClusterRnn.Models;
